"""The published layers by the names of their authors: a form each."""

from scs_study.layers.published import forms
from scs_study.layers.published.modules import PublishedLayer


class RohrerFeb2022(PublishedLayer):
    """Rohrer's layer of 15 February 2022, of the gallery's 18_4, 15_9 and 12_9: q on both norms, all squared."""

    form = forms.ROHRER_FEB2022


class RohrerMar2022(PublishedLayer):
    """Rohrer's layer of 27 March 2022: q = exp(-raw / 0.3) on the patch norm, p = exp(raw / 5), no kernel floor."""

    form = forms.ROHRER_MAR2022


class RohrerApr2022(PublishedLayer):
    """Rohrer's layer of 14 April 2022: as in March, times a learned alpha of the whole layer."""

    form = forms.ROHRER_APR2022


class RohrerMay2022(PublishedLayer):
    """Rohrer's last layer, of 20 May 2022, and the one studied: p as it is, weights and p clamped."""

    form = forms.ROHRER_MAY2022


class Wang(PublishedLayer):
    """Wang's layer: a cosine for each channel, added up, so that |y| may reach C^p; a bias after the power."""

    form = forms.WANG


class Batchelor(PublishedLayer):
    """Batchelor's layer: Wang's without the bias, with p as it is."""

    form = forms.BATCHELOR


class Hogg(PublishedLayer):
    """Hogg's layer: one norm for all kernels together, and a learned offset inside the power, which jumps at c = 0."""

    form = forms.HOGG


class Ifeherva(PublishedLayer):
    """Fehervari's layer: no q, and a learned offset inside the power, which jumps at c = 0."""

    form = forms.IFEHERVA


class Hukkelas(PublishedLayer):
    """Hukkelås' layer, from Tyszkiewicz' pull request 6: Rohrer's of February by conv2d."""

    form = forms.HUKKELAS


class Zimonitrome(PublishedLayer):
    """zimonitrome's layer of SCS-GAN, after Nestler: q on the kernel norm alone; a bias, if any, inside the cosine."""

    form = forms.ZIMONITROME


class Pisoni(PublishedLayer):
    """Pisoni's first Keras layer: q on both norms, all squared; shared kernels put their outputs kernel by kernel."""

    form = forms.PISONI
