"""`python -m bestofn`, which `accelerate launch -m bestofn train scorer CONFIG.toml` needs."""

from bestofn.cli import main

if __name__ == "__main__":
    main()
