# The image of a compiled pipeline's tasks: the locked packages, Paredown, and the project's own files.
#   make image IMAGE=registry.example.com/team/paredown:1.0
# docs/kubeflow.md says how to add another project's files.

# The lock file of requirements/; the other one: --build-arg STACK=py310.
ARG STACK=py313
# What the image begins with: the stage of the stack. To pin it to the byte: --build-arg BASE=python:…@sha256:…
ARG BASE=${STACK}
# Whether tasks of target: web can run in the image: --build-arg WEB=with-web.
ARG WEB=without-web

# An exact version of Python and Debian.
FROM python:3.13.9-slim-trixie AS py313

FROM python:3.10.19-slim-bookworm AS py310

FROM ${BASE} AS build
ARG STACK
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# pyfarmhash is C++ and has no wheel for these Pythons. A release of Debian has one version of this package.
RUN apt-get update \
    && apt-get install -y --no-install-recommends "g++=4:1*" \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/paredown
ENV PATH=/opt/paredown/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY requirements requirements
# Build tools first, so that source packages are built with the locked versions. Packages that only tests need stay
# out.
RUN awk '/^[^ #]/ {wanted = /^(pip|setuptools|wheel)==/} wanted' "requirements/${STACK}.lock" >tools.txt \
    && awk '/^[^ #]/ {wanted = !/^(ast-serialize|execnet|grimp|hadolint|hypothesis|import-linter|importlib-resources|iniconfig|kubernetes-validate|librt|mypy|pathspec|pytest|ruff)/} wanted' "requirements/${STACK}.lock" >packages.txt \
    && pip install --no-deps --require-hashes -r tools.txt \
    && pip install --no-deps --require-hashes --no-build-isolation --ignore-requires-python -r packages.txt
COPY setup.py pyproject.toml README.md LICENSE ./
COPY components components
COPY pipeline pipeline
RUN pip install --no-deps --no-index --no-build-isolation . \
    && pip check

FROM ${BASE} AS without-web

# What target: web needs besides the packages: Chromium, Node and npm's packages, as docs/targets.md says. Node and npm
# are those of the Debian release.
FROM ${BASE} AS with-web
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN apt-get update \
    && apt-get install -y --no-install-recommends "chromium=1*" "nodejs=*" "npm=*" \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/paredown-web
COPY components/common/tflite/litert_js/package.json components/common/tflite/litert_js/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
ENV PAREDOWN_WEB=/opt/paredown-web

FROM ${WEB}
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# A numeric user, so that Kubernetes sees that it is not root. Group 0 may write what the user may: OpenShift runs
# containers as arbitrary users of that group. The launcher of KFP before 2.2 stages artifacts in /minio, /s3 and /gcs
# without mounting a volume there.
RUN useradd --uid 10001 --gid 0 --no-create-home --home-dir /home/paredown --shell /usr/sbin/nologin paredown \
    && install --directory --owner=10001 --group=0 --mode=0775 /home/paredown /paredown /minio /s3 /gcs
COPY --from=build /opt/paredown /opt/paredown
# USER and LOGNAME: getpass.getuser fails for a user without a name.
ENV PATH=/opt/paredown/bin:$PATH \
    HOME=/home/paredown \
    USER=paredown \
    LOGNAME=paredown \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/paredown
WORKDIR /paredown
COPY configs configs
COPY data data
USER 10001:0
# The build fails here if the image cannot import what tasks need.
RUN paredown compile configs/mnist/techniques.yaml --image example.com/check --pipeline-root gs://check/check \
        --output /tmp/check.yaml \
    && paredown image-check /tmp/check.yaml \
    && rm /tmp/check.yaml
# No ENTRYPOINT: tasks have their own command.
CMD ["paredown", "--help"]
