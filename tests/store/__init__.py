"""Tests of the stores: the contract that all of them keep, and the traits of each."""
