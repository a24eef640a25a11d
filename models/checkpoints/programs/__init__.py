"""Networks exported as programs (ONNX and torch.export): their inputs and outputs, and their calls."""
