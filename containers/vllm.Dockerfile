# aural in front of vLLM, for Voxtral: aural has an environment of its own and starts `vllm serve` as its child.
# Weights come as /opt/ml/model, with or without the article's serving.properties. Not run on a GPU.
#   docker build -f containers/vllm.Dockerfile -t aural:vllm .
FROM python:3.12.11-slim-bookworm AS requirements
WORKDIR /opt/aural
COPY pyproject.toml containers/requirements.py ./
RUN python requirements.py > requirements.txt

FROM vllm/vllm-openai:v0.10.1.1
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true" \
      com.amazonaws.sagemaker.capabilities.bidirectional-streaming="true"
WORKDIR /opt/aural
# What the image has stays as it is.
RUN python3 -m pip list --format=freeze > held.txt \
    && python3 -m pip install --no-cache-dir --constraint held.txt "vllm[audio]==0.10.1.1" "librosa==0.11.0"
COPY --from=requirements /opt/aural/requirements.txt ./
COPY containers/constraints.txt ./
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps .
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8080
ENTRYPOINT ["/opt/venv/bin/python", "-m", "aural.container"]
CMD ["serve"]
