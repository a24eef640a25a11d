"""Terms of the page with their meanings, each introduced at its first use.

A meaning uses common words or other terms, which are then introduced before it.
"""

from .introductions import Term

TERMS = (
    # What sampling is made of.
    Term(
        "σ (sigma)",
        "σ",
        "the noise level, which is the standard deviation of the noise over the image, "
        "whose pixels go from −1 (black) to 1 "
        "(white). At σ = 80, where sampling begins, nothing of the image is left to be "
        "seen; at 0 there is no noise",
    ),
    Term(
        "denoiser",
        "[Dd]enoiser|denoised",
        "what a diffusion model is: a function that is given a noisy image and predicts "
        "the clean one",
    ),
    Term("sampler", "[Ss]ampler", "the rule by which a step uses the prediction"),
    Term(
        "evaluation",
        "[Ee]valuations?",
        "one call of the model, which is what costs time; the plain samplers take one a step",
    ),
    Term(
        "grid", r"[Gg]rids?\b", "the list of noise levels at which a sampler stops to predict anew"
    ),
    Term(
        "<code>karras</code>",
        "[Kk]arras",
        "the usual grid (Karras and others, 2022), which is finer where there is little noise",
    ),
    Term("<code>cosine</code>", r"\bcosine\b", "an older grid (Nichol and Dhariwal, 2021)"),
    Term(
        "linear (2020)",
        r"linear \(2020\)",
        "the grid of the first diffusion models for images in wide use (Ho and others, 2020)",
    ),
    Term(
        "signal",
        r"\b[Ss]ignals?\b",
        "how much of a noisy image is the image itself: all of a clean one, nothing of pure noise",
    ),
    Term(
        "equal shares",
        "[Ee]qual shares|sohl_dickstein_1503",
        "every step changes the signal by as much as every other; the grid of the first diffusion of "
        "black and white pictures (Sohl-Dickstein and others, 2015), here on Gaussian noise too",
    ),
    Term(
        "β₁",
        "β",
        "the share of noise that the very first step of the noising brings in, "
        "which is the last to be taken out again; β<sub>t</sub> is that of step t",
    ),
    Term(
        "binomial diffusion",
        "[Bb]inomial diffusion",
        "diffusion of black and white pictures: the noise is that pixels are replaced by "
        "the toss of a coin",
    ),
    Term(
        "Hamming distance",
        "Hamming",
        "the number of pixels in which two black and white pictures differ",
    ),
    Term(
        "uniform in log σ",
        "uniform in log σ",
        "a grid on which every level is the same fraction of the one before",
    ),
    Term(
        "Euler’s method",
        r"Euler|\beuler\b|DDIM",
        "the plainest sampler, also called DDIM: it goes straight towards the prediction "
        "until the next step, and adds no "
        "noise; <code>euler</code> in figures",
    ),
    Term(
        "probability flow",
        "[Pp]robability[ -]flow",
        "the differential equation that sampling without added noise solves",
    ),
    Term(
        "<code>ddpm</code>",
        r"\bddpm\b|[Aa]ncestral",
        "the sampler of the first diffusion models, called ancestral sampling: every "
        "step goes towards the prediction and adds "
        "some fresh noise",
    ),
    Term(
        "order",
        r"\borders?\b",
        "how fast the error of a sampler falls: with twice the steps it is 2 times "
        "smaller at order 1, 4 times at order 2, 8 "
        "times at order 3",
    ),
    Term(
        "<code>heun</code>, <code>dpmpp_2m</code>, <code>er_sde_2</code>, "
        "<code>dpm_solver_3m</code>, "
        "<code>dpm_solver_3</code>, <code>deis_rrk_4</code>",
        r"\b(heun|dpmpp_2m|er_sde_2|dpm_solver_3m?|deis_rrk_4)\b",
        "samplers that combine several predictions; the digit in the name, and 2 for "
        "<code>heun</code>, is their order, and "
        "<code>er_sde_2</code> adds noise",
    ),
    Term(
        "<code>auto</code>",
        r"\bauto\b",
        "the sampler that this project takes by default, with levels of its own",
    ),
    Term(
        "<code>ipndm</code>",
        r"\bipndm\b",
        "a sampler that goes by the last four predictions, good with few evaluations",
    ),
    Term(
        "<code>equal_error</code>",
        r"\bequal_error\b",
        "the grid on which all steps of Euler’s method err alike, searched for each model",
    ),
    Term(
        "unstable",
        r"\b[Uu]nstable|[Ii]nstability",
        "said of a step that makes deviations larger where the equation makes them smaller",
    ),
    Term(
        "eigenvalue",
        r"\b[Ee]igenvalues?",
        "here: how fast a small deviation grows in one direction, or, below 0, dies out",
    ),
    Term(
        "coefficients",
        r"\b[Cc]oefficients?\b",
        "the numbers by which a sampler weighs the noisy image and the predictions in each step",
    ),
    Term(
        "starting noise",
        r"[Ss]tarting noises?",
        "the noise that a sample begins as; it decides which image comes out",
    ),
    Term(
        "gradient",
        r"\b[Gg]radients?\b",
        "for each of some numbers, how fast the error changes with it: the direction in which to "
        "move them all at once",
    ),
    Term(
        "random, coordinates, differences",
        r"\b(random(?= (\d|search|−))|[Rr]andom search|coordinates|differences)\b",
        "searches that need nothing but the error: to guess, to change one number after the other, "
        "and to go downhill with slopes from tiny changes",
    ),
    Term(
        "TPE, CMA-ES",
        r"\bTPE\b|CMA-ES",
        "the two usual search programs: they guess where earlier guesses were good, CMA-ES with a "
        "cloud that takes on the shape of the valley",
    ),
    Term(
        "Adam",
        r"\bAdam\b",
        "how networks are trained: small steps along the gradient, of a size that adapts itself",
    ),
    Term(
        "guidance",
        "[Gg]uidance|[Gg]uided",
        "exaggerating what a class or a text changes in the prediction, by a factor: 1 is none",
    ),
    Term(
        "latents",
        r"(?<!same )\blatents\b|\blatent space",
        "the few numbers into which an autoencoder squeezes an image; a denoiser can work on "
        "these in place of pixels",
    ),
    Term(
        "autoencoder",
        "(?<!denoising )autoencoders?",
        "two networks: one makes fewer numbers of an image, and the other makes the image of "
        "these again",
    ),
    Term("decoder", r"\b[Dd]ecod(er|ed)\b", "the second of these two, which makes the image"),
    Term(
        "multiply-adds",
        "multiply-adds?",
        "the multiplications, each with the addition that follows, that a computer needs",
    ),
    Term(
        "U-Net",
        "U-Net",
        "the usual network for images, which looks at them finely and coarsely",
    ),
    Term(
        "clock",
        r"\bclocks?\b",
        "the variable in which a step goes straight ahead; in another one the same step is a bend",
    ),
    # Models.
    Term(
        "Gaussian",
        "Gaussians?",
        "the bell curve, in any number of dimensions; "
        "isotropic if it is equally wide in all directions",
    ),
    Term(
        "mixture",
        "[Mm]ixtures?",
        "several Gaussians, of which one is drawn first, and then a point from it",
    ),
    Term(
        "exact model",
        r"\b[Ee]xact (model|mixture|denoiser)s?|models are exact|are exact",
        "one whose prediction is a formula and not a trained network, so that it makes "
        "no error of its own",
    ),
    Term(
        "<code>fashion</code>",
        r"\bfashion\b(?!-)",
        "a network trained on Fashion-MNIST, small grey pictures (28 × 28 pixels) of "
        "garments in ten classes; it is told which "
        "class to make",
    ),
    Term(
        "teacher",
        "[Tt]eachers?\\b|[Tt]eacher’s",
        "a model whose answers another one is trained to give",
    ),
    Term(
        "few-step map",
        r"fashion-map|[Ff]ew-step map|\b[Tt]he map\b|true map",
        "a function that is given a noisy image and says where its path of many steps would end; "
        "<code>fashion-map</code> is a network that was trained to be one, with <code>fashion</code> "
        "for its teacher",
    ),
    Term(
        "<code>fashion-mppca</code>",
        "fashion-mppca",
        "a mixture of 100 Gaussians that was fitted to the same pictures: blurrier than "
        "they are, but everything about it can "
        "be computed exactly",
    ),
    Term(
        "<code>wavelet</code>",
        r"\bwavelet\b",
        "random textures of 32 × 32 pixels, an exact model too",
    ),
    Term(
        "<code>digits</code>",
        r"\bdigits\b(?!-)",
        "a network trained on about 1,400 handwritten digits of 8 × 8 pixels",
    ),
    Term(
        "<code>digits-cloud</code>",
        "digits-cloud",
        "1,797 handwritten digits of 8 × 8 pixels, and nothing else: an exact model that "
        "knows these by heart",
    ),
    Term("<code>gmm-2d</code>", "gmm-2d", "a mixture of seven Gaussians in the plane"),
    Term("<code>gmm-64d</code>", "gmm-64d", "a mixture of nine Gaussians in 64 dimensions"),
    # How results are measured.
    Term(
        "variance",
        "[Vv]ariances?",
        "how much images differ from each other: their mean squared distance from their average",
    ),
    Term("s.d.", r"s\.d\.", "standard deviation: the square root of the variance"),
    Term(
        "covariance",
        r"[Cc]ovariances?|Cov\[",
        "the variance in every direction, and how pixels vary together",
    ),
    Term(
        "95 % interval",
        "95 % intervals?",
        "the range in which the true value lies, as far as the number of samples tells; "
        "it misses in one case of twenty",
    ),
    Term(
        "passing for real",
        "pass(es|ing)? for real",
        "an image passes if it is near to at least one real image, but not to too many. The limit is "
        "the number that 97.5 % of the real images kept aside (unseen ones) do not exceed",
    ),
    Term(
        "neighbourhood",
        "[Nn]eighbourhoods?",
        "of a real image: all that is nearer to it than its third-nearest other real one",
    ),
    Term(
        "features",
        r"[Ff]eatures?\b",
        "what a small classifier makes of an image, 128 numbers, of which distances take the 32 widest "
        "directions, each in its own standard deviation; of models without one, the pixels themselves",
    ),
    Term(
        "Fréchet distance",
        "Fréchet|distances? to (the )?(data|converged)|farther from the data|nearer",
        "how different two sets of images are, each taken as a whole: the squared "
        "distance of two Gaussians that are fitted to "
        "their features; 0 for the same",
    ),
    Term(
        "recall",
        r"\b[Rr]ecall\b",
        "the share of real images that have a sample near them, nearer than the third-nearest other "
        "sample is to that one",
    ),
    Term(
        "coverage",
        r"\b[Cc]overage\b",
        "the share of real images to which a sample is nearer than their fifth-nearest other real one",
    ),
    Term(
        "FID proxy",
        "FID( proxy)?",
        "the Fréchet distance of samples to the data. The smaller, the better; it is the "
        "FID of the literature with a smaller classifier",
    ),
    Term(
        "converged",
        r"\b[Cc]onverged\b",
        "sampled with so many steps that more of them change nothing",
    ),
    Term(
        "power",
        r"\bpower\b",
        "how much of the image there is at a given fineness: at 1 cycle an image it is "
        "light and shade, at many it is the fine detail",
    ),
    Term(
        "nat",
        r"\bnats?\b",
        "a unit of information, like the bit: 1 nat is 1.44 bits, "
        "that is, 1.44 answers to yes-or-no questions",
    ),
    Term(
        "entropy",
        "[Ee]ntropy|entropies",
        "how uncertain something is, in nats: the logarithm of how many equally likely "
        "possibilities there are",
    ),
    Term(
        "posterior", "[Pp]osterior", "how likely every clean image is, once the noisy one is known"
    ),
    Term(
        "effective number",
        r"[Ee]ffective number|exp\(H\)|candidates|still possible",
        "how many equally likely possibilities would be as uncertain as those that there are",
    ),
    Term(
        "divergence (KL)",
        r"[Dd]ivergences?|KL\(",
        "how different two distributions are, in nats (Kullback and Leibler); 0 for the same",
    ),
    Term(
        "MMSE",
        r"MMSE|\bmmse\b",
        "minimum mean squared error: the squared error of the best prediction that is possible",
    ),
    Term("γ (gamma)", "γ", "1/σ²: how clearly the image is seen"),
    Term("log N", "log N", "the information in one choice among N"),
    Term("modes", r"\b[Mm]odes?\b", "the separate heaps that data come in, such as the classes"),
    Term(
        "near-copies",
        "[Cc]opies",
        "samples that are much nearer to one image of the training set than to any other",
    ),
    Term(
        "receptive radius",
        "[Rr]adi(us|i)|[Rr]eceptive",
        "how far around a pixel those lie that its prediction depends on, on average",
    ),
    Term(
        "sensitivity",
        "[Ss]ensitivity|Jacobian|∂",
        "by how much a pixel of the prediction changes when one of the noisy image does",
    ),
    Term(
        "degradation",
        r"[Dd]egrad(e[ds]?|ations?)\b",
        "a way of removing the information in a picture, a little of it or all",
    ),
    Term(
        "alike pairs",
        r"\balike pairs\b",
        "pairs of pictures that are nearer to each other than half of the real ones are to their "
        "nearest; one over their share is the effective number of different pictures",
    ),
    Term("optimal", r"\boptimal(_kl)?\b", "the grid that loses the fewest nats"),
)
