# resdet with its development tools, on a CPU or an NVIDIA GPU; docs/docker.md says how to build and run it.
#   docker build --tag resdet .                                                          a CPU
#   docker build --tag resdet --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 .     an NVIDIA GPU
# The CUDA image need not contain CUDA's libraries: PyTorch's wheels bring theirs. It lets the GPU in.
ARG BASE=ubuntu:24.04
FROM ${BASE}

# libgl1 and libglib2.0-0: what OpenCV's wheel needs of a system without a desktop. gcc: torch.compile.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        python3 python3-venv python3-dev gcc git make libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

# Where pip looks for further wheels; for a CPU, https://download.pytorch.org/whl/cpu has PyTorch without CUDA.
ARG PIP_EXTRA_INDEX_URL=
ENV VENV=/opt/venv PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1

WORKDIR /resdet
COPY . .
RUN make install

CMD ["resdet", "--help"]
