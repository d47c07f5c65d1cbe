"""The encoders read what the stock pipeline reads."""

import pytest
from diffusers.pipelines.wan.pipeline_wan_i2v import prompt_clean

from v4e.models.encoders import clean


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  make the car   red\n\tnow ",
        "Tom &amp;amp; Jerry &lt;b&gt; &#39;quoted&#39; &nbsp; end",
        "schÃ¶n, donâ€™t, ï¬\x81re",
        "non\u00a0breaking\u2003em\u200bzero\x1fcontrol\x85next\ufeffmark",
        "\x1b[31mred\x1b[0m \ud83d\ude00 \uff46\uff55\uff4c\uff4c \u2460",
        "&amp;lt;script&amp;gt;",
    ],
)
def test_a_text_is_cleaned_as_the_stock_pipeline_cleans_it(text):
    assert clean(text) == prompt_clean(text)
