"""Network architectures."""

from .small_image_nets import Autoencoder, Classifier
from .unet import EDMPrecond, FlowPrecond, MapPrecond, UNet, edm_loss, flow_loss

__all__ = [
    "Autoencoder",
    "Classifier",
    "EDMPrecond",
    "FlowPrecond",
    "MapPrecond",
    "UNet",
    "edm_loss",
    "flow_loss",
]
