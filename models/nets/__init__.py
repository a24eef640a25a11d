"""Network architectures, and the shipped score networks as denoisers."""

from ..cards.features import Classifier
from ..cards.flow_map import MapPrecond
from ..cards.latent import Autoencoder
from .edm import EDMPrecond, edm_loss
from .unet import UNet

__all__ = ["Autoencoder", "Classifier", "EDMPrecond", "MapPrecond", "UNet", "edm_loss"]
