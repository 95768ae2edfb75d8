# The service as it should be packaged: built in one stage, shipped from another.
#
#   docker build -t multi-stage-demo:optimized .
#   docker run -d -p 5000:5000 --name multi-stage-container multi-stage-demo:optimized

# ---- build: whatever is needed to make the artifacts. Nothing of this stage ships unless it is copied below.
FROM python:3.13-slim-trixie AS build

# The one command for system packages: index, installation and cleaning in one layer. binutils brings `strip`,
# which takes the debug symbols out of compiled packages. The wheels need no compiler: they are compiled already.
RUN apt-get update \
 && apt-get install -y --no-install-recommends binutils \
 && rm -rf /var/lib/apt/lists/*

# A virtual environment is one folder that holds everything that pip installs, so one COPY ships it.
# It gets no pip of its own: the service never installs anything.
RUN python -m venv --without-pip /opt/venv

# Requirements before the app: this layer is built again when requirements.txt changes, not when the code does.
# --no-compile: bytecode is made below, once it is known which files stay.
COPY requirements.txt .
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile -r requirements.txt

# Trimmed by rules that hold for any version, not by a list of what one run happened to open. Licences stay.
#  1. tests of the packages
#  2. what only a compiler or a type checker reads: headers, Cython sources, stubs
#  3. Pillow's codecs that no request can reach (AVIF, WebP, colour profiles, text), with the libraries that they alone use
#  4. debug symbols: no program looks at them while it runs
# Then bytecode for all that stays, so that no start compiles it, which a read-only container could not even keep.
# "unchecked-hash": it counts whatever the dates of the files are.
RUN cd /opt/venv/lib/python3.13/site-packages \
 && find . -type d -name tests -prune -exec rm -r {} + \
 && find . -type f \( -name '*.h' -o -name '*.c' -o -name '*.cpp' -o -name '*.pyx' -o -name '*.px[di]' -o -name '*.pyi' \) -delete \
 && rm PIL/_avif.* PIL/_webp.* PIL/_imagingcms.* PIL/_imagingft.* \
 && rm pillow.libs/libavif-* pillow.libs/libwebp* pillow.libs/liblcms2-* pillow.libs/libfreetype-* pillow.libs/libharfbuzz-* \
 && find . -name '*.so*' -type f -exec strip --strip-unneeded {} + \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash .

# ---- the image that ships: a slim base and the artifacts
FROM python:3.13-slim-trixie

LABEL org.opencontainers.image.title="multi-stage-demo" \
      org.opencontainers.image.description="A small Flask service that draws random plots, built in two stages" \
      org.opencontainers.image.version="1.0"

# The environment comes first in PATH. Matplotlib insists on a place where it can write its list of fonts:
# /dev/shm is in memory, and is there in a read-only container too.
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/dev/shm/matplotlib

WORKDIR /srv
COPY --from=build /opt/venv /opt/venv

# Last, since it changes most often: after a change of the app, only this layer is made again.
COPY app app

# A number, so that whoever runs the image can see that it is not root without looking into /etc/passwd.
# Everything above belongs to root: the service can read itself, but not change itself.
USER 10001:10001

EXPOSE 5000

# No curl in a slim image, but Python is there. -I -S: nothing but the standard library, which starts faster.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-I", "-S", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 5000, timeout=2); c.request('GET', '/status'); exit(c.getresponse().status != 200)"]

# What `docker stop` sends; gunicorn answers the requests under way and ends. (SIGTERM is also the default.)
STOPSIGNAL SIGTERM

# A JSON array starts gunicorn itself, as process 1. A string would start a shell, which passes no signals on.
CMD ["gunicorn", "--config", "app/gunicorn.conf.py", "app.wsgi:app"]
