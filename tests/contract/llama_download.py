"""`-hf` of llama.cpp, run in a process of its own: `python llama_download.py REPO[:QUANT] [TOKEN]`.

xllamacpp ships llama.cpp as a library, without `main` of its programs. This calls the two functions that they call
for `-hf`, `common_models_handler_init` and `common_models_handler_apply` of llama.cpp's `common/arg.cpp`, then starts
the server on the file that came, asks it for four tokens and prints one line of JSON.
"""

import ctypes
import json
import sys

import xllamacpp.xllamacpp as llama

# A CommonParams holds llama.cpp's struct by value, behind the head of a Python object.
_STRUCT_AT = object.__basicsize__
_INIT = "_Z26common_models_handler_initRK13common_params13llama_example"
_APPLY = "_Z27common_models_handler_applyR21common_models_handlerR13common_paramsP24common_download_callback"
_EXAMPLE_SERVER = 7
_HANDLER_BYTES = 65536


def fetch(repository: str, token: str) -> llama.CommonParams:
    """Download as `-hf repository` does, and return parameters whose model is the file."""
    params = llama.CommonParams()
    params.model.hf_repo = repository
    params.hf_token = token
    params.n_ctx, params.n_parallel, params.n_predict = 128, 1, 4
    library = ctypes.CDLL(llama.__file__)
    struct = ctypes.c_void_p(id(params) + _STRUCT_AT)
    # If the struct lies elsewhere one day, this says so before foreign code writes into it.
    assert ctypes.c_int32.from_address(id(params) + _STRUCT_AT).value == params.n_predict
    handler = ctypes.create_string_buffer(_HANDLER_BYTES)
    getattr(library, _INIT)(handler, struct, _EXAMPLE_SERVER)
    getattr(library, _APPLY)(handler, struct, None)
    return params


def main() -> None:
    """Fetch, serve, ask."""
    params = fetch(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
    told: dict[str, object] = {"path": params.model.path}
    if params.model.path:
        server = llama.Server(params)
        told["answer"] = server.handle_completions({"prompt": "The weighbridge", "max_tokens": 4})["usage"]
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
