"""Network architectures."""

from .encoders import Autoencoder, Classifier
from .unet import EDMPrecond, MapPrecond, UNet, edm_loss

__all__ = ["Autoencoder", "Classifier", "EDMPrecond", "MapPrecond", "UNet", "edm_loss"]
