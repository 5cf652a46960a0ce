"""Lightning callbacks: what the `callbacks` group of `conf/` names."""
