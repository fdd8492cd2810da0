"""Networks of the frameworks that write NIR: their own exporter, and their own simulation."""

import warnings

import nir
import numpy as np
import torch
from torch import nn

with warnings.catch_warnings():  # what they say of torch when they are imported is theirs
    warnings.simplefilter("ignore")
    import norse.torch as norse
    import sinabs.layers as sl
    import snntorch as snn
    from norse.torch.utils.export_nir import to_nir as norse_to_nir
    from sinabs.activation import MembraneReset, SingleSpike
    from sinabs.nir import to_nir as sinabs_to_nir
    from snntorch.export_nir import export_to_nir as snntorch_to_nir
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir as spikingjelly_to_nir


def vector(value, *shape):
    """Return one parameter as snnTorch's exporter wants it: one value per neuron."""
    return torch.full(shape, float(value))


def weighted(net, seed, gain):
    """Set weights so that neurons fire."""
    torch.manual_seed(seed)
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            nn.init.normal_(module.weight, std=gain / module.weight[0].numel() ** 0.5)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
    return net


def written(graph, path, *, compressed=True):
    """Write a file with the nir package; it compresses no scalars."""
    nir.write(path, graph, compression="gzip" if compressed else None)
    return path


# -- snnTorch --------------------------------------------------------------------------------------


def snntorch_net(kind, reset="subtract", delay=True):
    """Return (net, shape of one step)."""
    own = {"init_hidden": True, "reset_mechanism": reset, "reset_delay": delay}
    if kind == "Leaky":
        first = snn.Leaky(beta=vector(0.9, 24), threshold=vector(0.7, 24), **own)
    elif kind == "Leaky per neuron":
        beta, threshold = torch.linspace(0.5, 0.95, 24), torch.linspace(0.6, 1.1, 24)
        first = snn.Leaky(beta=beta, threshold=threshold, **own)
    elif kind == "Leaky beta 1":
        first = snn.Leaky(beta=vector(1, 24), threshold=vector(1, 24), **own)
    elif kind == "Synaptic":
        alpha, beta = vector(0.7, 24), vector(0.85, 24)
        first = snn.Synaptic(alpha=alpha, beta=beta, threshold=vector(1, 24), **own)
    elif kind == "RLeaky":
        first = snn.RLeaky(beta=0.85, linear_features=24, **own)
    elif kind == "RLeaky one to one":
        first = snn.RLeaky(beta=0.85, all_to_all=False, V=torch.linspace(-1, 1, 24), **own)
    elif kind == "RSynaptic":
        first = snn.RSynaptic(alpha=0.6, beta=0.85, linear_features=24, **own)
    if kind == "conv":
        last = snn.Leaky(beta=vector(0.8, 5), threshold=vector(1, 5), **own)
        first = snn.Leaky(beta=vector(0.9, 4, 6, 6), threshold=vector(0.8, 4, 6, 6), **own)
        conv = nn.Conv2d(2, 4, 3, bias=False)
        net = nn.Sequential(conv, first, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 5), last)
        return net, (2, 8, 8)
    last = snn.Leaky(beta=vector(0.8, 5), threshold=vector(1, 5), **own)
    return nn.Sequential(nn.Linear(12, 24), first, nn.Linear(24, 5), last), (12,)


def snntorch_file(net, shape, path):
    graph = snntorch_to_nir(net, torch.zeros(1, *shape), ignore_dims=[0])
    for module in net.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()
    return written(graph, path)


def snntorch_run(net, x):
    for module in net.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()
    return np.stack([net(step).detach().numpy() for step in torch.from_numpy(x)])


# -- SpikingJelly ----------------------------------------------------------------------------------


def spikingjelly_net(kind):
    make = {
        "IF": lambda: neuron.IFNode(v_reset=0.0),
        "IF reset elsewhere": lambda: neuron.IFNode(v_threshold=0.9, v_reset=-0.2),
        "LIF": lambda: neuron.LIFNode(tau=2.0),
        "LIF tau 3": lambda: neuron.LIFNode(tau=3.0, v_threshold=0.4),
        "LIF input kept": lambda: neuron.LIFNode(tau=3.0, decay_input=False),
        "LIF reset elsewhere": lambda: neuron.LIFNode(tau=2.5, v_reset=-0.3, v_threshold=0.3),
        "PLIF": lambda: neuron.ParametricLIFNode(init_tau=2.0, v_threshold=0.5),
        "CUBALIF": lambda: neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75),
        "mixed": lambda: neuron.LIFNode(tau=2.0, v_threshold=0.5),
    }[kind]
    if kind == "mixed":
        net = nn.Sequential(
            layer.Conv2d(2, 4, 3, padding=1), neuron.IFNode(), layer.AvgPool2d(2), make(),
            layer.Conv2d(4, 3, 3, stride=2), neuron.LIFNode(tau=3.0, decay_input=False),
            layer.Flatten(), layer.Linear(3, 5), neuron.CUBALIFNode(),
        )  # fmt: skip
        return net, (2, 8, 8)
    return nn.Sequential(layer.Linear(12, 24), make(), layer.Linear(24, 5), make()), (12,)


def spikingjelly_file(net, shape, path, **options):
    graph = spikingjelly_to_nir(net, torch.zeros(1, *shape), **options)
    functional.reset_net(net)
    return written(graph, path)


def spikingjelly_run(net, x):
    functional.reset_net(net)
    return np.stack([net(step).detach().numpy() for step in torch.from_numpy(x)])


# -- Norse -----------------------------------------------------------------------------------------


def norse_net(kind):
    if kind == "LIFBox":
        p = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(200.0), v_th=torch.tensor(0.2))
        cells = [norse.LIFBoxCell(p), norse.LIFBoxCell(p)]
    elif kind == "LIFBox leaking elsewhere":
        p = norse.LIFBoxParameters(
            tau_mem_inv=torch.tensor(150.0), v_leak=torch.tensor(0.1), v_th=torch.tensor(0.3)
        )
        cells = [norse.LIFBoxCell(p), norse.LIFBoxCell(p)]
    elif kind == "LIF":
        p = norse.LIFParameters(v_th=torch.tensor(0.3))
        cells = [norse.LIFCell(p), norse.LIFCell(p)]
    elif kind == "IAF":
        cells = [norse.IAFCell(), norse.IAFCell()]
    else:
        p = norse.LIFBoxParameters(v_th=torch.tensor(0.2))
        cells = [norse.LIFBoxCell(p), norse.LIBoxCell()]
    return norse.SequentialState(nn.Linear(12, 24), cells[0], nn.Linear(24, 5), cells[1]), (12,)


def norse_file(net, shape, path):
    return written(norse_to_nir(net, torch.zeros(1, *shape)), path, compressed=False)


def norse_run(net, x):
    state, steps = None, []
    for step in torch.from_numpy(x):
        y, state = net(step, state)
        steps.append(y.detach().numpy())
    return np.stack(steps)


# -- sinabs ----------------------------------------------------------------------------------------


def sinabs_net(kind):
    single = {"spike_fn": SingleSpike, "reset_fn": MembraneReset()}
    if kind == "LIF":
        cells = [sl.LIF(tau_mem=4.0, spike_threshold=torch.tensor(0.3)) for _ in range(2)]
    elif kind == "LIF single reset":
        cells = [sl.LIF(tau_mem=4.0, spike_threshold=torch.tensor(0.3), **single) for _ in range(2)]
    elif kind == "IAF":
        cells = [sl.IAF(), sl.IAF()]
    elif kind == "IAF single reset":
        cells = [sl.IAF(**single), sl.IAF(**single)]
    else:
        cells = [sl.IAF(), sl.ExpLeak(tau_mem=5.0)]
    return nn.Sequential(nn.Linear(12, 24), cells[0], nn.Linear(24, 5), cells[1]), (12,)


def sinabs_file(net, shape, path):
    for module in net.modules():
        if hasattr(module, "reset_states"):
            module.reset_states()
    graph = sinabs_to_nir(net, torch.zeros(1, 3, *shape))
    return written(graph, path, compressed=False)


def sinabs_run(net, x):
    for module in net.modules():
        if hasattr(module, "reset_states"):
            module.reset_states()
    with torch.no_grad():
        return net(torch.from_numpy(x).transpose(0, 1)).transpose(0, 1).numpy()


def sinabs_conv_net():
    single = {"spike_fn": SingleSpike, "batch_size": 16}
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        sl.IAFSqueeze(**single),
        sl.SumPool2d(2),
        nn.Conv2d(4, 3, 3, stride=2),
        sl.IAFSqueeze(batch_size=16),
        nn.Flatten(),
        nn.Linear(3, 5),
        sl.IAFSqueeze(batch_size=16),
    )
    return net, (2, 8, 8)


def sinabs_conv_file(net, shape, path):
    for module in net.modules():
        if hasattr(module, "reset_states"):
            module.reset_states()
    graph = sinabs_to_nir(net, torch.zeros(16, *shape))
    graph.nodes["1"].metadata = {"snnquant.max_spikes": np.array(1)}
    graph.infer_types()  # the exporter leaves the sizes of convolutions open
    return written(graph, path, compressed=False)


def sinabs_conv_run(net, x):
    for module in net.modules():
        if hasattr(module, "reset_states"):
            module.reset_states()
    steps, batch = x.shape[:2]
    flat = torch.from_numpy(x).transpose(0, 1).reshape(batch * steps, *x.shape[2:])
    with torch.no_grad():
        return net(flat).reshape(batch, steps, -1).transpose(0, 1).numpy()
