"""One page per command: frozen settings in, frozen result out. Progress goes up through the events handed in.

    build convert evaluate finetune fit lr_find predict pseudo_label summary tune      the commands
    fitting finetuning pseudo_labels tuning reports      their pieces, where one page does not hold them
    known build_pattern          a model before it exists: from options and data, or after another one
    model_data data_kinds        data opened for a model; what rows are
    scoring view_average texts evaluation      from rows to probabilities, texts, measures
    layer_output drawing sorting plotting      what else predict and fit write
    plugins plugin_record        a user's own Python

Imports training, data, modelfile, architectures and engine.
"""
