# A machine on which README's commands work, and a reader without any privileges on it:
#
#   docker build --tag d2lrnn .
#   docker run --rm d2lrnn                                                        the chapter in NumPy learns
#   docker run --rm --volume d2lrnn:/home/reader/d2lrnn -it d2lrnn make compare   all frameworks, kept in a volume
#
# The frameworks are not in the image: make fetches them. Python 3.11 is what the tests of all of them together run with.
FROM python:3.11-slim-bookworm

# What MXNet's wheel needs of the system (libgomp1, libquadmath0), and the two programs that a clone needs. The folder is
# made here, for WORKDIR would make it root's, and make writes into it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git libgomp1 libquadmath0 make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home --shell /bin/bash reader \
    && install --directory --owner reader --group reader /home/reader/d2lrnn

USER 1000:1000
WORKDIR /home/reader/d2lrnn
ENV PATH=/home/reader/venv/bin:$PATH
COPY --chown=1000:1000 . .
RUN python -m venv /home/reader/venv \
    && pip install --no-cache-dir --disable-pip-version-check . --constraint constraints.txt

CMD ["d2lrnn", "train", "--epochs", "50", "--corpus", "story"]
