"""A small model server for the CPU: OpenAI's chat API, vLLM's metrics, one process.

It exists for laptops, tests and small models. Answers, errors and metrics are held to recordings of vLLM, so that what
watches one can watch the other.
"""
