# aural on CPUs, with Whisper tiny.en and base inside: nothing is downloaded at run time.
#   docker build -f containers/cpu.Dockerfile -t aural:cpu .
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /opt/aural
COPY pyproject.toml containers/constraints.txt containers/requirements.py ./
RUN python -m venv /opt/venv
RUN python requirements.py embedded > requirements.txt \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt
COPY README.md LICENSE ./
COPY src src
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11.13-slim-bookworm
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true" \
      com.amazonaws.sagemaker.capabilities.bidirectional-streaming="true" \
      com.amazonaws.sagemaker.capabilities.multi-models="true"
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8080
ENTRYPOINT ["python", "-m", "aural.container"]
CMD ["serve"]
