"""A replica of the colours' model as anybody would write it in PyTorch, to compare with."""

from torch import nn

from anchoring.replicas import Replicas


def torch_twin(model: Replicas, replica: int) -> nn.Sequential:
    """One replica as another PyTorch model."""
    twins = []
    for name in ("encoder.0", "encoder.2", "decoder.0", "decoder.2"):
        weight, bias = (model.state_dict()[f"{name}.{which}"][replica] for which in ("weight", "bias"))
        twin = nn.Linear(*weight.T.shape)
        twin.weight.data, twin.bias.data = weight.clone(), bias.clone()
        twins.append(twin)
    a, b, c, d = twins
    return nn.Sequential(nn.Sequential(a, nn.GELU(), b), nn.Sequential(c, nn.GELU(), d, nn.Sigmoid()))
