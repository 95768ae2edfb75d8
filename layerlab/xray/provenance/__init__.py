"""Where an image's files came from: which stage and line made them, through ``FROM`` and ``COPY --from``."""
