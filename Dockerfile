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
WORKDIR /build
COPY requirements.txt .
RUN pip --python /opt/venv/bin/python install --no-cache-dir --no-compile -r requirements.txt

# Trimmed by rules that hold for any version, not by a list of what one run happened to open. Licences stay.
#  1. tests of the packages
#  2. what only compilers and type checkers read: headers, static libraries, Cython sources, stubs
#  3. Pillow's codecs that no request reaches (AVIF, WebP, text, colour profiles) and the libraries of theirs alone
#  4. Matplotlib's sample data, and its fonts for PDF and PostScript
#  5. debug symbols: nothing looks at them while the service runs
# Then bytecode for what is left, or each start would compile it anew: a read-only container cannot keep any.
# "unchecked-hash": the bytecode counts whatever the dates of the files.
RUN cd /opt/venv/lib/python3.13/site-packages \
 && find . -type d -name tests -prune -exec rm -r {} + \
 && find . -type f -regex '.*\.\(h\|hpp\|c\|cpp\|a\|pyx\|pxd\|pxi\|pyi\)' -delete \
 && (cd PIL && rm -f _avif.* _webp.* _imagingft.* _imagingcms.*) \
 && (cd pillow.libs && rm -f libavif-* libwebp* libsharpyuv-* libfreetype-* libharfbuzz-* libbrotli* libpng* liblcms2-*) \
 && (cd matplotlib/mpl-data && rm -r sample_data fonts/afm fonts/pdfcorefonts) \
 && find . -type f -name '*.so*' -exec strip --strip-unneeded {} + \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash .

# ---- the image that ships: a slim base and the artifacts
FROM python:3.13-slim-trixie

# The base has no bytecode for Python's own library either: 10 MB that save a third of each start.
# Left out is what no service imports: pip, IDLE, Tk and their like.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
    -x 'site-packages|ensurepip|idlelib|tkinter|turtle|pydoc|/test/' /usr/local/lib/python3.13

COPY --from=build /opt/venv /opt/venv

LABEL org.opencontainers.image.title="multi-stage-demo" \
      org.opencontainers.image.description="A small Flask service that draws random plots, built in two stages" \
      org.opencontainers.image.version="1.0"

# The virtual environment comes first in PATH. Output appears at once. Matplotlib wants a folder where it can write
# its list of fonts: /dev/shm is in memory, so a read-only container has it too.
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/dev/shm/matplotlib

WORKDIR /srv

# A number, so that whoever runs the image can tell that it is not root without looking into its /etc/passwd.
# All files belong to root: the service can read itself, but not change itself.
USER 10001:10001

EXPOSE 5000

# A slim image has no curl, but it has Python. -I -S: only the standard library, which starts in 40 ms.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["python", "-I", "-S", "-c", \
         "from http.client import HTTPConnection; c = HTTPConnection('127.0.0.1', 5000); c.request('GET', '/status'); raise SystemExit(c.getresponse().status != 200)"]

# What `docker stop` sends (and its default, said for the reader): gunicorn answers what is under way, then ends.
STOPSIGNAL SIGTERM

# A JSON array starts gunicorn itself, as process 1. A plain string would start a shell, which passes no signal on.
CMD ["gunicorn", "--config", "app/gunicorn.conf.py", "app.wsgi:app"]

# Last, since it changes most often: after a change of the code, only this step runs again.
# (Compiling these few files takes some 10 ms at start; a step that does it would cost far more at each build.)
COPY app app
