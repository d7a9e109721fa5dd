//! What starts one worker: SGLang, TensorRT-LLM, vLLM, and the mocker
