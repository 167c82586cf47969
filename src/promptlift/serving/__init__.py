"""An OpenAI-compatible server in front of an LLM that rewrites each prompt on its way (docs/serving.md).

    settings    flags, environment and TOML            memory     what was made of a prompt, and what was sent
    bodies      the person's texts in a request        waiting    the bounded queue, grouped by target
    process     the prompter in a process of its own   lifting    memory, queue and process: one text in, one out
    upstream    the LLM's server                       proxy      a request through all of these
    rewrites, votes, pages: promptlift's own endpoints app        all of it as one ASGI application

Data flows down each column. Nothing here raises for what a client sends: where in doubt, the body goes through as it
came.
"""
