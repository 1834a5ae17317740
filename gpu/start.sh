# Sourced by gpu/day from the project root: the project runs from its checkout, not installed.
export PYTHON=${PYTHON:-python3} PYTHONUNBUFFERED=1
if ! "$PYTHON" -c 'import pydantic' 2>/dev/null && ls "$KIT"/whl/*.whl >/dev/null 2>&1; then
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site "$KIT"/whl/*.whl || exit 1
  PYTHONPATH="/tmp/site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
if [ -z "${VAE_BENCH_DATA:-}" ]; then
  [ -f "$KIT/data.tar.gz" ] || { echo "there is no $KIT/data.tar.gz: gpu/pack makes it, and .gpu is carried along." >&2; exit 1; }
  mkdir -p /tmp/data && tar -C /tmp/data -xzf "$KIT/data.tar.gz" || exit 1
  export VAE_BENCH_DATA=/tmp/data
fi
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null
"$PYTHON" -c 'import torch; print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")' || exit 1
