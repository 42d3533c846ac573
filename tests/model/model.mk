# SPDX-License-Identifier: MIT
# `make model`: the Spin model of the protocols; MODEL='NAME...' checks some of its configurations,
# TRAIL=1 prints their counter-examples, SET='NAME=VALUE...' overrides settings.pml. Included by the
# root Makefile; `make -f tests/model/model.mk model` works alone.
# Invariant: nothing is written outside $(BUILD)/model and $(BUILD)/mutants.

BUILD ?= build
PYTHON ?= /usr/bin/python3

.PHONY: model
model:
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/model/run.py --build $(BUILD) \
	    $(if $(TRAIL),--trail) $(SET:%=--set %) $(MODEL)
