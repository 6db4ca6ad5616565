#!/usr/bin/env bash
# Makes .venv with the pinned dependencies and the nearfar command. PIP_FIND_LINKS and the package index apply.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
[ -x $python ] || "${PYTHON:-python3}" -m venv .venv
[ -x .venv/bin/uv ] || $python -m pip install --quiet --disable-pip-version-check uv
.venv/bin/uv pip install --quiet --python $python ${PIP_FIND_LINKS:+--find-links "$PIP_FIND_LINKS"} \
    -r envs/requirements.txt setuptools
# Compiled once here: where Python may not write bytecode, every job would compile every module that it imports. What none
# of them imports is half of it all; a file for a newer Python stays as it is.
$python -m compileall -qq -j 0 -x '/(tests?|pip|transformers/models)/' .venv/lib || true
.venv/bin/uv pip install --quiet --python $python --no-deps --no-build-isolation -e .
# torchaudio's native library is built against one torch; beside another it cannot load, and nearfar needs none of it.
$python -c 'import torchaudio' 2>/dev/null || {
    rm -f .venv/lib/python*/site-packages/torchaudio/lib/*.so
    $python -c 'import torchaudio'
}
touch .venv/.ready
