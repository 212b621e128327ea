# aural on NVIDIA GPUs: Whisper (CTranslate2) and Parakeet (ONNX Runtime). The CUDA libraries come as packages, the
# driver from the host. Weights come as /opt/ml/model or are downloaded by name. Not run on a GPU.
#   docker build -f containers/cuda.Dockerfile -t aural:cuda .
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /opt/aural
COPY pyproject.toml containers/constraints.txt containers/requirements.py ./
RUN python -m venv /opt/venv
RUN python requirements.py gpu > requirements.txt \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt
# onnxruntime and onnxruntime-gpu write the same files. From 1.27 on the latter wants CUDA 13, CTranslate2 wants 12.
RUN /opt/venv/bin/pip uninstall --yes onnxruntime \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt "onnxruntime-gpu[cuda,cudnn]==1.26.0"
COPY README.md LICENSE ./
COPY src src
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11.13-slim-bookworm
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true" \
      com.amazonaws.sagemaker.capabilities.bidirectional-streaming="true"
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    LD_LIBRARY_PATH=/opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib:/opt/venv/lib/python3.11/site-packages/nvidia/cudnn/lib
EXPOSE 8080
ENTRYPOINT ["python", "-m", "aural.container"]
CMD ["serve"]
