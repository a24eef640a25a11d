"""Networks that were exported as programs, ONNX's and torch.export's: what their inputs and outputs
say, and how they are called.
"""
