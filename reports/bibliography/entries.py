"""Papers and programs that an analysis may rest on, by key."""

from __future__ import annotations

from .entry import Entry

_STATISTICS = "Statistics and Computing"
_LISTED = (
    # the model
    Entry.of("uhlenbeck1930", author="Uhlenbeck, George E. and Ornstein, Leonard S.", title="On the theory of the {Brownian} motion",
             journal="Physical Review", year="1930", volume="36", number="5", pages="823--841", doi="10.1103/PhysRev.36.823"),
    Entry.of("oravecz2011", author="Oravecz, Zita and Tuerlinckx, Francis and Vandekerckhove, Joachim",
             title="A hierarchical latent stochastic differential equation model for affective dynamics",
             journal="Psychological Methods", year="2011", volume="16", number="4", pages="468--490", doi="10.1037/a0024375"),
    Entry.of("kalman1960", author="Kalman, Rudolf E.", title="A new approach to linear filtering and prediction problems",
             journal="Journal of Basic Engineering", year="1960", volume="82", number="1", pages="35--45", doi="10.1115/1.3662552"),
    Entry.of("dejong1991", author="de Jong, Piet", title="The diffuse {Kalman} filter", journal="The Annals of Statistics", year="1991",
             volume="19", number="2", pages="1073--1083", doi="10.1214/aos/1176348139"),
    Entry.of("dejong1988", author="de Jong, Piet", title="A cross-validation filter for time series models", journal="Biometrika",
             year="1988", volume="75", number="3", pages="594--600", doi="10.1093/biomet/75.3.594"),
    Entry.of("carter1994", author="Carter, C. K. and Kohn, R.", title="On {Gibbs} sampling for state space models", journal="Biometrika",
             year="1994", volume="81", number="3", pages="541--553", doi="10.1093/biomet/81.3.541"),
    Entry.of("mundlak1978", author="Mundlak, Yair", title="On the pooling of time series and cross section data", journal="Econometrica",
             year="1978", volume="46", number="1", pages="69--85", doi="10.2307/1913646"),
    Entry.of("rubin1976", author="Rubin, Donald B.", title="Inference and missing data", journal="Biometrika", year="1976", volume="63",
             number="3", pages="581--592", doi="10.1093/biomet/63.3.581"),
    Entry.of("robins1986", author="Robins, James",
             title="A new approach to causal inference in mortality studies with a sustained exposure period\N{EM DASH}application to "
             "control of the healthy worker survivor effect",
             journal="Mathematical Modelling", year="1986", volume="7", number="9\N{EN DASH}12", pages="1393--1512",
             doi="10.1016/0270-0255(86)90088-6"),
    Entry.of("hernan2020", "book", author="Hernán, Miguel A. and Robins, James M.", title="Causal Inference: What If",
             publisher="Chapman & Hall/CRC", year="2020"),
    # computing
    Entry.of("pymc2023", author="Abril-Pla, Oriol and Andreani, Virgile and Carroll, Colin and Dong, Larry and Fonnesbeck, Christopher J. "
             "and Kochurov, Maxim and Kumar, Ravin and Lao, Junpeng and Luhmann, Christian C. and Martin, Osvaldo A. and Osthege, Michael "
             "and Vieira, Ricardo and Wiecki, Thomas and Zinkov, Robert",
             title="{PyMC}: a modern, and comprehensive probabilistic programming framework in {Python}",
             journal="PeerJ Computer Science", year="2023", volume="9", pages="e1516", doi="10.7717/peerj-cs.1516"),
    Entry.of("hoffman2014", author="Hoffman, Matthew D. and Gelman, Andrew",
             title="The {No-U-Turn} sampler: adaptively setting path lengths in {Hamiltonian} {Monte} {Carlo}",
             journal="Journal of Machine Learning Research", year="2014", volume="15", number="47", pages="1593--1623"),
    Entry.of("nutpie", "misc", author="{PyMC Developers}", title="nutpie", howpublished="Computer program",
             url="https://github.com/pymc-devs/nutpie"),
    Entry.of("tierney1986", author="Tierney, Luke and Kadane, Joseph B.",
             title="Accurate approximations for posterior moments and marginal densities",
             journal="Journal of the American Statistical Association", year="1986", volume="81", number="393", pages="82--86",
             doi="10.1080/01621459.1986.10478240"),
    Entry.of("rue2009", author="Rue, Håvard and Martino, Sara and Chopin, Nicolas",
             title="Approximate {Bayesian} inference for latent {Gaussian} models by using integrated nested {Laplace} approximations",
             journal="Journal of the Royal Statistical Society: Series B", year="2009", volume="71", number="2", pages="319--392",
             doi="10.1111/j.1467-9868.2008.00700.x"),
    Entry.of("arviz2026", author="Martin, Osvaldo A. and Abril-Pla, Oriol and Deklerk, Jordan and Axen, Seth D. and Carroll, Colin and "
             "Hartikainen, Ari and Vehtari, Aki",
             title="{ArviZ}: a modular and flexible library for exploratory analysis of {Bayesian} models",
             journal="Journal of Open Source Software", year="2026", volume="11", number="119", pages="9889", doi="10.21105/joss.09889"),
    Entry.of("vehtari2021", author="Vehtari, Aki and Gelman, Andrew and Simpson, Daniel and Carpenter, Bob and Bürkner, Paul-Christian",
             title="Rank-normalization, folding, and localization: an improved {R-hat} for assessing convergence of {MCMC}",
             journal="Bayesian Analysis", year="2021", volume="16", number="2", pages="667--718", doi="10.1214/20-BA1221"),
    # checks
    Entry.of("gabry2019", author="Gabry, Jonah and Simpson, Daniel and Vehtari, Aki and Betancourt, Michael and Gelman, Andrew",
             title="Visualization in {Bayesian} workflow", journal="Journal of the Royal Statistical Society: Series A", year="2019",
             volume="182", number="2", pages="389--402", doi="10.1111/rssa.12378"),
    Entry.of("gelman1996", author="Gelman, Andrew and Meng, Xiao-Li and Stern, Hal",
             title="Posterior predictive assessment of model fitness via realized discrepancies", journal="Statistica Sinica", year="1996",
             volume="6", number="4", pages="733--760"),
    Entry.of("vehtari2017", author="Vehtari, Aki and Gelman, Andrew and Gabry, Jonah",
             title="Practical {Bayesian} model evaluation using leave-one-out cross-validation and {WAIC}", journal=_STATISTICS,
             year="2017", volume="27", number="5", pages="1413--1432", doi="10.1007/s11222-016-9696-4"),
    Entry.of("vehtari2024", author="Vehtari, Aki and Simpson, Daniel and Gelman, Andrew and Yao, Yuling and Gabry, Jonah",
             title="{Pareto} smoothed importance sampling", journal="Journal of Machine Learning Research", year="2024", volume="25",
             number="72", pages="1--58"),
    Entry.of("kallioinen2024", author="Kallioinen, Noa and Paananen, Topi and Bürkner, Paul-Christian and Vehtari, Aki",
             title="Detecting and diagnosing prior and likelihood sensitivity with power-scaling", journal=_STATISTICS, year="2024",
             volume="34", pages="57", doi="10.1007/s11222-023-10366-5"),
    Entry.of("gneiting2007", author="Gneiting, Tilmann and Raftery, Adrian E.",
             title="Strictly proper scoring rules, prediction, and estimation", journal="Journal of the American Statistical Association",
             year="2007", volume="102", number="477", pages="359--378", doi="10.1198/016214506000001437"),
    Entry.of("talts2018", "misc", author="Talts, Sean and Betancourt, Michael and Simpson, Daniel and Vehtari, Aki and Gelman, Andrew",
             title="Validating {Bayesian} inference algorithms with simulation-based calibration", year="2018", eprint="1804.06788",
             archiveprefix="arXiv"),
    Entry.of("modrak2025", author="Modrák, Martin and Moon, Angie H. and Kim, Shinyoung and Bürkner, Paul and Huurre, Niko and "
             "Faltejsková, Kateřina and Gelman, Andrew and Vehtari, Aki",
             title="Simulation-based calibration checking for {Bayesian} computation: the choice of test quantities shapes sensitivity",
             journal="Bayesian Analysis", year="2025", volume="20", number="2", pages="461--488", doi="10.1214/23-BA1404"),
    Entry.of("sailynoja2022", author="Säilynoja, Teemu and Bürkner, Paul-Christian and Vehtari, Aki",
             title="Graphical test for discrete uniformity and its applications in goodness-of-fit evaluation and multiple sample "
             "comparison",
             journal=_STATISTICS, year="2022", volume="32", number="2", pages="32", doi="10.1007/s11222-022-10090-6"),
    Entry.of("kruschke2018", author="Kruschke, John K.", title="Rejecting or accepting parameter values in {Bayesian} estimation",
             journal="Advances in Methods and Practices in Psychological Science", year="2018", volume="1", number="2", pages="270--280",
             doi="10.1177/2515245918771304"),
    Entry.of("kruschke2021", author="Kruschke, John K.", title="{Bayesian} analysis reporting guidelines", journal="Nature Human Behaviour",
             year="2021", volume="5", number="10", pages="1282--1291", doi="10.1038/s41562-021-01177-7"),
    Entry.of("depaoli2017", author="Depaoli, Sarah and van de Schoot, Rens",
             title="Improving transparency and replication in {Bayesian} statistics: the {WAMBS}-checklist",
             journal="Psychological Methods", year="2017", volume="22", number="2", pages="240--261", doi="10.1037/met0000065"),
    # study designs
    Entry.of("moher2010", author="Moher, David and Hopewell, Sally and Schulz, Kenneth F. and others",
             title="{CONSORT} 2010 explanation and elaboration: updated guidelines for reporting parallel group randomised trials",
             journal="BMJ", year="2010", volume="340", pages="c869", doi="10.1136/bmj.c869"),
    Entry.of("campbell2012", author="Campbell, Marion K. and Piaggio, Gilda and Elbourne, Diana R. and Altman, Douglas G.",
             title="{Consort} 2010 statement: extension to cluster randomised trials", journal="BMJ", year="2012", volume="345",
             pages="e5661", doi="10.1136/bmj.e5661"),
    Entry.of("hussey2007", author="Hussey, Michael A. and Hughes, James P.",
             title="Design and analysis of stepped wedge cluster randomized trials", journal="Contemporary Clinical Trials", year="2007",
             volume="28", number="2", pages="182--191", doi="10.1016/j.cct.2006.05.007"),
    Entry.of("hemming2018", author="Hemming, Karla and Taljaard, Monica and McKenzie, Joanne E. and others",
             title="Reporting of stepped wedge cluster randomised trials: extension of the {CONSORT} 2010 statement with explanation and "
             "elaboration", journal="BMJ", year="2018", volume="363", pages="k1614", doi="10.1136/bmj.k1614"),
    Entry.of("dwan2019", author="Dwan, Kerry and Li, Tianjing and Altman, Douglas G. and Elbourne, Diana",
             title="{CONSORT} 2010 statement: extension to randomised crossover trials", journal="BMJ", year="2019", volume="366",
             pages="l4378", doi="10.1136/bmj.l4378"),
    Entry.of("vohra2015", author="Vohra, Sunita and Shamseer, Larissa and Sampson, Margaret and others",
             title="{CONSORT} extension for reporting {N-of-1} trials ({CENT}) 2015 statement", journal="BMJ", year="2015", volume="350",
             pages="h1738", doi="10.1136/bmj.h1738"),
    Entry.of("penfold2013", author="Penfold, Robert B. and Zhang, Fang",
             title="Use of interrupted time series analysis in evaluating health care quality improvements", journal="Academic Pediatrics",
             year="2013", volume="13", number="6, Supplement", pages="S38--S44", doi="10.1016/j.acap.2013.08.002"),
    Entry.of("wing2018", author="Wing, Coady and Simon, Kosali and Bello-Gomez, Ricardo A.",
             title="Designing difference in difference studies: best practices for public health policy research",
             journal="Annual Review of Public Health", year="2018", volume="39", pages="453--469",
             doi="10.1146/annurev-publhealth-040617-013507"),
    Entry.of("campbell1963", "book", author="Campbell, Donald T. and Stanley, Julian C.",
             title="Experimental and Quasi-Experimental Designs for Research", publisher="Rand McNally", year="1963"),
    # published studies
    Entry.of("vetter2026", author="Vetter, Valentin Max and Kurth, Tobias and Konigorski, Stefan",
             title="Evaluation of two easy-to-implement digital breathing interventions in the context of daily stress levels in a series "
             "of {N-of-1} trials: results from the {Anti-Stress Intervention Among Physicians} ({ASIP}) study",
             journal="npj Digital Medicine", year="2026", doi="10.1038/s41746-025-02317-3"),
    Entry.of("proudfoot2003", author="Proudfoot, Judy and Goldberg, David and Mann, Anthony and Everitt, Brian and Marks, Isaac and "
             "Gray, Jeffrey A.", title="Computerized, interactive, multimedia cognitive-behavioural program for anxiety and depression in "
             "general practice", journal="Psychological Medicine", year="2003", volume="33", number="2", pages="217--227",
             doi="10.1017/S0033291702007225"),
)  # fmt: skip
ENTRIES = {entry.key: entry for entry in _LISTED}

DESIGNS = {
    "parallel_trial": ("moher2010",), "cluster_trial": ("campbell2012",), "stepped_wedge": ("hussey2007", "hemming2018"),
    "crossover": ("dwan2019",), "n_of_1": ("vohra2015",), "interrupted_time_series": ("penfold2013",),
    "controlled_pre_post": ("wing2018",), "pre_post": ("campbell1963",),
}  # fmt: skip
DATASETS = {"asip": "vetter2026", "beat_the_blues": "proudfoot2003"}


def program(name: str, version: str) -> Entry:
    """Equipoise itself, in the version that was used."""
    return Entry.of(name.lower(), "misc", author=f"{{{name} developers}}", title=f"{{{name}}}", howpublished="Computer program",
                    note=f"Version {version}")  # fmt: skip
