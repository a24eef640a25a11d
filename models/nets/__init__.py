"""Network architectures."""

from .autoencoder import Autoencoder
from .classifier import Classifier
from .edm import EDMPrecond, edm_loss
from .flow_map import MapPrecond
from .unet import UNet

__all__ = ["Autoencoder", "Classifier", "EDMPrecond", "MapPrecond", "UNet", "edm_loss"]
