"""Operations: plain functions, settings in, typed events out, an exception when they fail. One file an operation."""
