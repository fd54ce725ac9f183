from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).parent / "README.md"

setup(
    name="paredown",
    version="0.1.0",
    description="A declarative model-optimization pipeline on TFX",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=[*find_packages(include=["pipeline", "pipeline.*", "components", "components.*"]), "paredown"],
    # `import paredown` is the Python API. An editable install maps the three top-level packages to their folders:
    # a package that is added below one of them is found without installing again.
    package_dir={"": ".", "paredown": "pipeline/api"},
    package_data={
        "": ["*.j2", "*.html", "*.css", "*.js", "*.json", "*.yaml", "py.typed"],
        "components.targets.microcontroller": ["c_array_files/*.j2"],
        "components.common.tfjs": ["requirements.*"],
        "components.targets.web": ["page_files/*", "tfjs_files/*"],
        "pipeline.project": ["templates/**/*"],
        "pipeline.federate": ["app/*"],
    },
    # Ranges that the code is meant for. The lock files of requirements/ have the sets that are tested.
    install_requires=[
        "tfx>=1.16",
        "tensorflow>=2.16",
        "tf-keras>=2.16",
        "tensorflow-model-optimization>=0.8",
        "tensorflow-model-analysis>=0.47",
        "ml-metadata>=1.16",
        "apache-beam>=2.47",
        "ai-edge-litert>=2.1",
        "pydantic>=2.12",
        "click>=8",
        "rich>=13",
        "pyyaml>=6",
        "ruamel.yaml>=0.18",
        "scipy>=1.10",
        "h5py>=3.6",
        "jinja2>=3.1",
        "plotly>=5",
        "pillow>=10",
        "openlineage-python>=1.47",
        "optuna>=5",
        "dp-accounting>=0.6",
        "google-crc32c>=1.1",
        "grpcio>=1.59",
        "prometheus-client>=0.20",
        "tensorflow-serving-api>=2.16",
        "tornado>=6.3",
    ],
    extras_require={
        "kfp": ["tfx[kfp]>=1.16"],
        "microcontroller": ["tflite-micro>=0.dev20261023182759", "ethos-u-vela>=5.2"],
        "test": [
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.5",
            "jsonschema>=4.18",
            "hypothesis>=6",
            "kubernetes-validate>=1.30",
        ],
        "lint": ["ruff>=0.8", "mypy>=1.11", "import-linter>=2.1"],
    },
    entry_points={"console_scripts": ["paredown=pipeline.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
