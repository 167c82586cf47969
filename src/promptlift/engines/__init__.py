"""The engines that run a prompter, and the files that they load.

base.py      what an engine does for the prompter
llama.py     the default engine: llama.cpp in process
torch.py     the reference: any causal LM of transformers
inspect.py   read a GGUF's metadata and tensors, quickly and without trust
write.py     write a GGUF, whole or not at all
lora.py      a prompter's LoRA in the names and the row order of its base's GGUF
build.py     the engine-ready GGUF: LoRA merged, head untied, requantised
cache.py     where that file is kept, safe from other processes and full disks
"""
