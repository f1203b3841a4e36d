# make demo   a virtual environment, the installation, and the main job on the embedded data, start to end
# make demo-loc   the same for localization (App. C): a classifier, where make demo left none, a localizer with its R-CNN
#                 stage, the table of both, and the baseline's error
# make test   the tests
# make test-gpu   whether everything works on this machine's GPU: runs/check_gpu/report.md
# make wheels-gpu   into build/wheels: what a GPU machine without a network lacks beside torch and others (README.md)
# make docs   the documentation as a site, build/site/index.html; a warning is an error
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

WHEELS = mmengine==0.10.7 albumentations==2.0.8 albucore==0.0.24 pycocotools stringzilla simsimd addict yapf platformdirs \
	termcolor msgspec hotcoco
PLATFORMS = manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64
DOWNLOAD = $(PYTHON) -m pip download --quiet --only-binary=:all: --python-version 3.12 --implementation cp \
	$(addprefix --platform ,$(PLATFORMS)) --dest build/wheels

.PHONY: demo demo-loc test test-gpu wheels-gpu docs install clean-demo

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

demo: install
	$(BIN)/python tools/train_cls.py --work-dir runs/shapes_cls
	$(BIN)/python tools/train_det.py --work-dir runs/shapes_det
	$(BIN)/python tools/predict.py shapes_det runs/shapes_det/last.pth data/shapes/VOCshapes/JPEGImages/test_00000.jpg --out runs/shapes_det/predictions
	@echo "the page: runs/shapes_det/page.html   the pictures: runs/shapes_det/pictures/sheet.jpg"

demo-loc: install
	$(BIN)/python tools/train_loc.py --work-dir runs/shapes_loc_rcnn
	$(BIN)/python tools/train_loc.py shapes_loc_pcr --work-dir runs/shapes_loc_pcr
	$(BIN)/python tools/eval_loc.py shapes_loc_rcnn --checkpoint runs/shapes_loc_rcnn/last.pth \
		--rcnn runs/shapes_loc_rcnn/3_rcnn/last.pth --views 1-crop dense \
		--classifier shapes_cls runs/shapes_cls/last.pth --classifier-views dense --pictures
	@echo "the page: runs/shapes_loc_rcnn/page.html   the pictures: runs/shapes_loc_rcnn/eval_pictures"

test: install
	$(BIN)/python -m pytest -n auto --dist worksteal

test-gpu: install
	$(BIN)/python tools/check_gpu.py

wheels-gpu:
	$(DOWNLOAD) --no-deps $(WHEELS)
	$(DOWNLOAD) pydantic

docs: install
	$(BIN)/python docs/site/stage.py build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "the site: build/site/index.html"

clean-demo:
	rm -rf runs/shapes_cls runs/shapes_det runs/shapes_loc_rcnn runs/shapes_loc_pcr
	rm -rf data/shapes data/shape_crops data/shapes_loc
