"""The engines that run a prompter, and the files that they load.

    inspect.py   read a GGUF's metadata and tensors, quickly and without trust
    write.py     write a GGUF, whole or not at all
    lora.py      a prompter's LoRA in the names and the row order of its base's GGUF
    build.py     the engine-ready GGUF: LoRA merged, head untied, requantised, cached
"""
