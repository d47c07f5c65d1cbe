"""The application on Ray Serve, as users start it: real processes, killed and left alone by their clients."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from diffusers import WanTransformer3DModel

from benchmarks.support.on_ray import on_serve
from benchmarks.support.served import http, opened, picture, png
from tests.support.loras import write_lora
from tests.support.served_on_ray import idle, process_of, slow_edit, steps_made
from tests.support.wait import until
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STEPS = 40


@pytest.fixture(scope="module")
def lora(random_family, tmp_path_factory) -> str:
    dit = WanTransformer3DModel.from_pretrained(random_family / "tiny-wan-i2v", subfolder="transformer")
    return write_lora(dit, tmp_path_factory.mktemp("lora") / "ink.safetensors", seed=3)


@pytest.fixture(scope="module")
def url(cluster, random_family, lora, tmp_path_factory):
    settings = {"model": str(random_family / "tiny-wan-i2v"), "state": str(tmp_path_factory.mktemp("state"))}
    settings |= {"loras": f"ink={lora}", "max_pixels": "16384", "warm": "32x32", "waiting": "4"}
    with on_serve(**settings) as url:
        yield url


def test_the_client_edits_and_streams(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        whole = client.images.edit(image=png(), prompt="x", extra_body={"seed": 1})
        assert whole._request_id and "," not in whole._request_id
        events = list(
            client.images.edit(image=png(), prompt="x", stream=True, partial_images=2, extra_body={"seed": 1})
        )
        assert [event.type.split(".")[1] for event in events] == ["partial_image", "partial_image", "completed"]
        assert events[-1].b64_json == whole.data[0].b64_json
    until(lambda: http.get(f"{url}/readyz").status_code == 200)


def test_an_adapter_makes_the_edit_that_it_makes_without_a_server(url, random_family, lora):
    editor = Editor.load(str(random_family / "tiny-wan-i2v"), loras={"ink": lora})
    made = []
    for name in (None, "ink", None):
        form = {"prompt": "x", "seed": "1"} | ({"lora": name} if name else {})
        answer = http.post(f"{url}/v1/images/edits", files={"image": png()}, data=form)
        made.append(opened(base64.b64decode(answer.json()["data"][0]["b64_json"])).tobytes())
        [edit] = editor.edit([picture()], ["x"], [1], EditSettings(height=32, width=32), lora=name)
        assert made[-1] == edit.image.tobytes()
    assert made[0] == made[2] != made[1]


def test_it_is_ready_while_it_is_busy(url):
    with ThreadPoolExecutor(3) as threads:
        answers = [threads.submit(slow_edit, url, 20) for _ in range(3)]
        until(lambda: "v4e_edits_running 2.0" in http.get(f"{url}/metrics").text)  # all that a replica takes
        assert http.get(f"{url}/readyz").status_code == 200
        assert not any(answer.done() for answer in answers)
        assert {answer.result().status_code for answer in answers} == {200}


def test_a_client_that_leaves_a_stream_frees_the_model_within_a_step(url):
    before, form = steps_made(), {"prompt": "x", "stream": "true", "num_inference_steps": str(STEPS)}
    files = {"image": png(picture(0, (128, 128)))}
    with http.stream("POST", f"{url}/v1/images/edits", files=files, data=form, timeout=60) as answer:
        assert ": step 3/40" in answer.iter_lines()
    until(lambda: idle(url))
    slow_edit(url, 1)  # the model is free: this one ran
    # Three were told, one is under way when the news arrives, one more may be told meanwhile; and the last edit's own.
    assert steps_made() - before <= 3 + 2 + 1


def test_a_client_that_leaves_while_it_waits_frees_the_model(url):
    before = steps_made()
    with pytest.raises(httpx.ReadTimeout):
        http.post(
            f"{url}/v1/images/edits",
            files={"image": png(picture(0, (128, 128)))},
            data={"prompt": "x", "num_inference_steps": "50"},
            timeout=1.0,
        )
    until(lambda: idle(url))
    slow_edit(url, 1)
    assert steps_made() - before < 50


def test_a_deadline_is_kept(url):
    answer = slow_edit(url, 50, deadline_s="0.5")
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "deadline_exceeded")
    assert answer.headers["x-should-retry"] == "false"


def test_a_full_queue_says_when_to_come_back(url):
    until(lambda: idle(url))
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: slow_edit(url, 4), range(16)))
    codes = sorted({answer.status_code for answer in answers})
    assert codes == [200, 429]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.json()["error"]["code"] for answer in refused} == {"queue_full"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)


def test_a_killed_replicas_edit_is_made_again(url):
    expected = slow_edit(url, 8).json()["data"][0]["b64_json"]
    before = steps_made()
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(slow_edit, url, 8)
        until(lambda: steps_made() > before)
        process_of("Model").kill()
        assert answer.result().status_code == 200, answer.result().text
        assert answer.result().json()["data"][0]["b64_json"] == expected
    assert "v4e_replicas_lost_total 1.0" in http.get(f"{url}/metrics").text


@pytest.mark.long
@pytest.mark.parametrize("victim", ["Model", "Front"])
def test_a_job_survives_a_death(url, victim):
    form = {"prompt": "x", "num_inference_steps": str(STEPS), "seed": "1"}
    files = {"image": png(picture(0, (128, 128)))}
    job = http.post(f"{url}/v1/edits/jobs", files=files, data=form, timeout=60).json()

    def poll() -> dict:
        answer = http.get(f"{url}/v1/edits/jobs/{job['id']}", timeout=60)
        return answer.json() if answer.status_code == 200 else {"status": "unknown", "progress": {"step": 0}}

    until(lambda: poll()["progress"]["step"] >= 2)
    process_of(victim).kill()
    until(lambda: poll()["status"] in ("succeeded", "failed"))
    assert poll()["result"]["data"][0]["b64_json"] == slow_edit(url).json()["data"][0]["b64_json"]


@pytest.mark.long
def test_what_waits_for_a_killed_front_is_answered(url):
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(slow_edit(url)))
    before = steps_made()
    thread.start()
    until(lambda: steps_made() > before)
    process_of("Front").kill()
    thread.join(60)
    assert not thread.is_alive() and answers[0].status_code == 503
    assert answers[0].json()["error"]["code"] == "overloaded" and answers[0].headers["x-should-retry"] == "true"
    until(lambda: http.get(f"{url}/readyz", timeout=60).status_code == 200)
    assert slow_edit(url, 1).status_code == 200
