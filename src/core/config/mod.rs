//! Configuration: keys, files, environment, defaults; one typed value per role (spec 03 §1, appendix A).
