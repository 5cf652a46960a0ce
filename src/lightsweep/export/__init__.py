"""The folder of a refitted model: weights, preprocessing, metrics, model card, and ONNX or torch.export files."""
