"""An app on Gradio in a few lines: a picture and an instruction in, the edit out.

``pip install gradio``, ``v4e serve``, then ``python examples/gradio_app.py``. A notebook needs `edited` alone.
"""

import base64
import io

from openai import OpenAI
from PIL import Image

client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")


def edited(picture: Image.Image, instruction: str, seed: int = 0) -> Image.Image:
    """Returns the edit of a picture by the server."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    answer = client.images.edit(
        image=("picture.png", file.getvalue(), "image/png"), prompt=instruction, extra_body={"seed": int(seed)}
    )
    return Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json)))


if __name__ == "__main__":
    import gradio  # pyright: ignore[reportMissingImports]

    inputs = [gradio.Image(type="pil"), gradio.Textbox(label="What to change"), gradio.Number(0, label="Seed")]
    gradio.Interface(edited, inputs, gradio.Image(type="pil"), flagging_mode="never").launch()
