//! What stands in front of the workers: Dynamo, sglang-router, trtllm-serve, nginx, and the mock router
