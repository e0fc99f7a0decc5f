"""`python -m nbest`, which `accelerate launch -m nbest train scorer CONFIG.toml` needs."""

from nbest.cli import main

if __name__ == "__main__":
    main()
