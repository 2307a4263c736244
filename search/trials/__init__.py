"""The trial loop under Ray Tune: trials are handed out, run, stopped and recorded."""
