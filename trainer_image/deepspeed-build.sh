#!/bin/sh
# Install DeepSpeed ($1) and, where there is a C++ compiler, compile its operators for the CPU now.
set -eu
pip install --no-cache-dir setuptools wheel ninja packaging psutil py-cpuinfo numpy
if ! command -v g++ > /dev/null; then
  echo "no g++ in the build image: DeepSpeed is installed without compiled operators"
  exec pip install --no-cache-dir --no-build-isolation "$1"
fi
compiler=$(mktemp -d)
cat > "$compiler/c++" << EOF
#!/bin/sh
for each in "\$@"; do
  shift
  # Its build looks at this machine's CPU twice: for the instruction set and for the width of its vectors.
  case "$CPU_ARCH \$each" in
    *" -march=native") each=-march=$CPU_ARCH ;;
    "x86-64-v4 "*) ;;
    *" -D__AVX512__") each=-D__AVX256__ ;;
  esac
  set -- "\$@" "\$each"
done
exec g++ "\$@"
EOF
chmod +x "$compiler/c++"
CC="$compiler/c++" CXX="$compiler/c++" DS_ACCELERATOR=cpu DS_BUILD_CPU_ADAM=1 DS_BUILD_SHM_COMM=1 \
  pip install --no-cache-dir --no-build-isolation --no-binary deepspeed "$1"
