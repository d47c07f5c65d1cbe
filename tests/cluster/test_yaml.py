"""The local cluster: who does not know its token runs nothing on it."""

import os
import subprocess
import sys

import pytest
import ray

JOIN = """
import ray, sys
ray.init(address=sys.argv[1], log_to_driver=False)
print("sum", ray.get(ray.remote(lambda: 20 + 22).remote()))
"""


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("known", [pytest.param(True, marks=pytest.mark.long), False])
def test_only_who_knows_the_token_runs_something(cluster, known):
    address = ray.get_runtime_context().gcs_address
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_NUM_REDIS_GET_RETRIES": "2"}  # not for 20 s
    env = os.environ | ({} if known else wrong)
    found = subprocess.run([sys.executable, "-c", JOIN, address], env=env, capture_output=True, text=True, timeout=120)
    assert ("sum 42" in found.stdout) == known, found.stderr
    assert known or "token" in found.stderr.lower()
