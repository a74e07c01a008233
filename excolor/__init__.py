"""The experiment with colours: hue, or one of six hues, in a tiny RGB autoencoder."""
