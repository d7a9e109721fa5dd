//! Prints rendered templates of a recipe, for whoever edits a template.
