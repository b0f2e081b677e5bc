"""The reference platform: a service that fulfils the contract of `wire`, with brains for demos, tests
and OpenAI-compatible models.

Layout: `journal` (what is kept of turns), `brain` (what thinks), `work` (one turn being worked on),
`desk` (all turns and memories), `service` (HTTP). Only `service` and `serve` know FastAPI.
"""
