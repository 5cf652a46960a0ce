"""A trained model as files that predict: weights, preprocessing, card, ONNX."""
