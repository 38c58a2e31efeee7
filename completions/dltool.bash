# Completion of dltool for bash. Written by 'dltool completion bash'; changes here are lost.

_dltool() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command= positional=0 index word
    COMPREPLY=()
    # bash makes words of "=" and ":"; "--arch=cnn" is completed as "--arch cnn" is.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = && COMP_CWORD -gt 1 ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $current == : || $previous == : ]]; then
        compopt +o default
        return
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if [[ $word == -* ]]; then
            [[ $word != -- ]] && _dltool_takes_value "$command" "$word" && ((index++))
        elif [[ $word == = ]]; then
            ((index++))
        elif [[ -z $command ]]; then
            command=$word
        elif [[ $word != : && ${COMP_WORDS[index - 1]} != : ]]; then
            ((positional++))
        fi
    done
    if _dltool_takes_value "$command" "$previous"; then
        _dltool_values "$command" "$previous"
    elif [[ $current == -* ]]; then
        _dltool_options "$command"
    else
        _dltool_arguments "$command" "$positional"
    fi
}

# Keep those of the words given that begin with what is typed. Without words there is nothing to guess.
_dltool_reply() {
    local word
    compopt +o default
    for word in "$@"; do
        [[ $word == "$current"* ]] && COMPREPLY+=("$word")
    done
}

_dltool_takes_value() {
    case $1 in
        build) case $2 in --input | --classes | --arch | --from | --like | --data | --labels | --image-size | --color | --resize | --class-names | --limit | --window | --horizon | --target-column | --target | --optimizer | --lr | --loss | --metric | --seed | --plugin) return 0 ;; esac ;;
        fit) case $2 in --data | --labels | --image-size | --color | --resize | --class-names | --limit | --window | --horizon | --target-column | --target | --val | --val-labels | --val-split | --group | --extra | --arch | --epochs | --batch-size | --optimizer | --lr | --loss | --metric | --loss-weight | --schedule | --warmup | --clip-norm | --clip-value | --weight-decay | --label-smoothing | --ema | --time | --restarts | --freeze | --init-from | --early-stop | --monitor | --min-delta | --augment | --augment-preview | --balance | --class-weight | --decision-threshold | --seed | --jobs | --backend | --plugin | --output | -o | --checkpoint | --log | --log-every | --plot) return 0 ;; esac ;;
        evaluate) case $2 in --data | --labels | --image-size | --color | --resize | --class-names | --limit | --window | --horizon | --target-column | --target | --beta | --top | --top-losses | --fail-under | --beam | --batch-size | --jobs | --backend | --plugin | --output | -o) return 0 ;; esac ;;
        predict) case $2 in --files0-from | --top | --min-prob | --layer | --format | --beam | --sort-into | --output | -o | --image-size | --color | --resize | --window | --class-names | --batch-size | --jobs | --backend | --plugin) return 0 ;; esac ;;
        summary) case $2 in --weights | --data | --labels | --diff | --batch-size | --plugin) return 0 ;; esac ;;
        lr-find) case $2 in --data | --labels | --image-size | --color | --resize | --class-names | --limit | --window | --horizon | --target-column | --target | --min | --max | --steps | --pick | --plot | --optimizer | --loss | --batch-size | --jobs | --backend | --seed | --plugin) return 0 ;; esac ;;
        tune) case $2 in --data | --labels | --image-size | --color | --resize | --class-names | --limit | --lr | --try | --trials | --journal | --output | -o | --val | --val-labels | --val-split | --group | --extra | --arch | --epochs | --batch-size | --optimizer | --loss | --metric | --loss-weight | --schedule | --warmup | --clip-norm | --clip-value | --weight-decay | --label-smoothing | --ema | --time | --freeze | --monitor | --augment | --balance | --class-weight | --seed | --jobs | --backend | --plugin) return 0 ;; esac ;;
        pseudo-label) case $2 in --unlabelled | --data | --labels | --image-size | --color | --resize | --class-names | --limit | --val | --val-labels | --threshold | --min-precision | --max-per-class | --into | --rounds | --train-to | --epochs | --augment | --ask | --plugin | --output | -o | --batch-size | --jobs | --backend) return 0 ;; esac ;;
        finetune) case $2 in --data | --labels | --image-size | --color | --resize | --class-names | --limit | --val | --val-labels | --val-split | --pop | --at | --head | --epochs | --epochs-unfrozen | --unfreeze | --features | --bn | --preprocess | --augment | --batch-size | --optimizer | --lr | --loss | --metric | --seed | --jobs | --backend | --plugin | --output | -o) return 0 ;; esac ;;
        convert) case $2 in --from | --arch | --input | --classes | --class-names | --labels-from | --plugin) return 0 ;; esac ;;
    esac
    return 1
}

# Files: no reply, and readline completes them itself.
_dltool_values() {
    case $1$2 in
        build--input) _dltool_reply ;;
        build--classes) _dltool_reply ;;
        build--arch) _dltool_reply autoencoder cnn crnn gru lenet lstm mlp resnet-small resnet9 textcnn vgg-small ;;
        build--from) return ;;
        build--like) return ;;
        build--data) return ;;
        build--labels) return ;;
        build--image-size) _dltool_reply ;;
        build--color) _dltool_reply rgb gray ;;
        build--resize) _dltool_reply stretch crop pad ;;
        build--class-names) return ;;
        build--limit) _dltool_reply ;;
        build--window) _dltool_reply ;;
        build--horizon) _dltool_reply ;;
        build--target-column) _dltool_reply ;;
        build--target) _dltool_reply input ;;
        build--optimizer) _dltool_reply adadelta adagrad adam adamax adamw ftrl lion nadam rmsprop sgd ;;
        build--lr) _dltool_reply ;;
        build--loss) _dltool_reply binary_crossentropy binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy categorical_hinge cosine_similarity ctc hinge huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson sparse_categorical_crossentropy squared_hinge ;;
        build--metric) _dltool_reply accuracy auc binary_accuracy binary_crossentropy binary_io_u categorical_accuracy categorical_crossentropy categorical_hinge concordance_correlation cosine_similarity crossentropy f1_score false_negatives false_positives fbeta_score hinge io_u kl_divergence log_cosh_error mean_absolute_error mean_absolute_percentage_error mean_io_u mean_squared_error mean_squared_logarithmic_error one_hot_io_u one_hot_mean_io_u pearson_correlation poisson precision precision_at_recall r2_score recall recall_at_precision root_mean_squared_error sensitivity_at_specificity sparse_categorical_accuracy sparse_categorical_crossentropy sparse_top_k_categorical_accuracy specificity_at_sensitivity squared_hinge top_k_categorical_accuracy true_negatives true_positives ;;
        build--seed) _dltool_reply ;;
        build--plugin) return ;;
        fit--data) return ;;
        fit--labels) return ;;
        fit--image-size) _dltool_reply ;;
        fit--color) _dltool_reply rgb gray ;;
        fit--resize) _dltool_reply stretch crop pad ;;
        fit--class-names) return ;;
        fit--limit) _dltool_reply ;;
        fit--window) _dltool_reply ;;
        fit--horizon) _dltool_reply ;;
        fit--target-column) _dltool_reply ;;
        fit--target) _dltool_reply input ;;
        fit--val) return ;;
        fit--val-labels) return ;;
        fit--val-split) _dltool_reply ;;
        fit--group) return ;;
        fit--extra) return ;;
        fit--arch) _dltool_reply autoencoder cnn crnn gru lenet lstm mlp resnet-small resnet9 textcnn vgg-small ;;
        fit--epochs) _dltool_reply ;;
        fit--batch-size) _dltool_reply ;;
        fit--optimizer) _dltool_reply adadelta adagrad adam adamax adamw ftrl lion nadam rmsprop sgd ;;
        fit--lr) _dltool_reply ;;
        fit--loss) _dltool_reply binary_crossentropy binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy categorical_hinge cosine_similarity ctc hinge huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson sparse_categorical_crossentropy squared_hinge ;;
        fit--metric) _dltool_reply accuracy auc binary_accuracy binary_crossentropy binary_io_u categorical_accuracy categorical_crossentropy categorical_hinge concordance_correlation cosine_similarity crossentropy f1_score false_negatives false_positives fbeta_score hinge io_u kl_divergence log_cosh_error mean_absolute_error mean_absolute_percentage_error mean_io_u mean_squared_error mean_squared_logarithmic_error one_hot_io_u one_hot_mean_io_u pearson_correlation poisson precision precision_at_recall r2_score recall recall_at_precision root_mean_squared_error sensitivity_at_specificity sparse_categorical_accuracy sparse_categorical_crossentropy sparse_top_k_categorical_accuracy specificity_at_sensitivity squared_hinge top_k_categorical_accuracy true_negatives true_positives ;;
        fit--loss-weight) _dltool_reply ;;
        fit--schedule) _dltool_reply 1cycle constant cosine exp flat-cosine plateau poly sgdr step time ;;
        fit--warmup) _dltool_reply ;;
        fit--clip-norm) _dltool_reply ;;
        fit--clip-value) _dltool_reply ;;
        fit--weight-decay) _dltool_reply ;;
        fit--label-smoothing) _dltool_reply ;;
        fit--ema) _dltool_reply ;;
        fit--time) _dltool_reply ;;
        fit--restarts) _dltool_reply ;;
        fit--freeze) _dltool_reply ;;
        fit--init-from) return ;;
        fit--early-stop) _dltool_reply ;;
        fit--monitor) _dltool_reply ;;
        fit--min-delta) _dltool_reply ;;
        fit--augment) return ;;
        fit--augment-preview) return ;;
        fit--balance) _dltool_reply oversample ;;
        fit--class-weight) _dltool_reply ;;
        fit--decision-threshold) _dltool_reply ;;
        fit--seed) _dltool_reply ;;
        fit--jobs) _dltool_reply ;;
        fit--backend) _dltool_reply auto threads processes ;;
        fit--plugin) return ;;
        fit--output | fit-o) return ;;
        fit--checkpoint) return ;;
        fit--log) return ;;
        fit--log-every) _dltool_reply epoch batch ;;
        fit--plot) return ;;
        evaluate--data) return ;;
        evaluate--labels) return ;;
        evaluate--image-size) _dltool_reply ;;
        evaluate--color) _dltool_reply rgb gray ;;
        evaluate--resize) _dltool_reply stretch crop pad ;;
        evaluate--class-names) return ;;
        evaluate--limit) _dltool_reply ;;
        evaluate--window) _dltool_reply ;;
        evaluate--horizon) _dltool_reply ;;
        evaluate--target-column) _dltool_reply ;;
        evaluate--target) _dltool_reply input ;;
        evaluate--beta) _dltool_reply ;;
        evaluate--top) _dltool_reply ;;
        evaluate--top-losses) _dltool_reply ;;
        evaluate--fail-under) _dltool_reply ;;
        evaluate--beam) _dltool_reply ;;
        evaluate--batch-size) _dltool_reply ;;
        evaluate--jobs) _dltool_reply ;;
        evaluate--backend) _dltool_reply auto threads processes ;;
        evaluate--plugin) return ;;
        evaluate--output | evaluate-o) return ;;
        predict--files0-from) return ;;
        predict--top) _dltool_reply ;;
        predict--min-prob) _dltool_reply ;;
        predict--layer) _dltool_reply ;;
        predict--format) _dltool_reply table csv tsv jsonl npy png ;;
        predict--beam) _dltool_reply ;;
        predict--sort-into) return ;;
        predict--output | predict-o) return ;;
        predict--image-size) _dltool_reply ;;
        predict--color) _dltool_reply rgb gray ;;
        predict--resize) _dltool_reply stretch crop pad ;;
        predict--window) _dltool_reply ;;
        predict--class-names) return ;;
        predict--batch-size) _dltool_reply ;;
        predict--jobs) _dltool_reply ;;
        predict--backend) _dltool_reply auto threads processes ;;
        predict--plugin) return ;;
        summary--weights) _dltool_reply ;;
        summary--data) return ;;
        summary--labels) return ;;
        summary--diff) _dltool_reply ;;
        summary--batch-size) _dltool_reply ;;
        summary--plugin) return ;;
        lr-find--data) return ;;
        lr-find--labels) return ;;
        lr-find--image-size) _dltool_reply ;;
        lr-find--color) _dltool_reply rgb gray ;;
        lr-find--resize) _dltool_reply stretch crop pad ;;
        lr-find--class-names) return ;;
        lr-find--limit) _dltool_reply ;;
        lr-find--window) _dltool_reply ;;
        lr-find--horizon) _dltool_reply ;;
        lr-find--target-column) _dltool_reply ;;
        lr-find--target) _dltool_reply input ;;
        lr-find--min) _dltool_reply ;;
        lr-find--max) _dltool_reply ;;
        lr-find--steps) _dltool_reply ;;
        lr-find--pick) _dltool_reply valley steepest min10 ;;
        lr-find--plot) return ;;
        lr-find--optimizer) _dltool_reply adadelta adagrad adam adamax adamw ftrl lion nadam rmsprop sgd ;;
        lr-find--loss) _dltool_reply binary_crossentropy binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy categorical_hinge cosine_similarity ctc hinge huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson sparse_categorical_crossentropy squared_hinge ;;
        lr-find--batch-size) _dltool_reply ;;
        lr-find--jobs) _dltool_reply ;;
        lr-find--backend) _dltool_reply auto threads processes ;;
        lr-find--seed) _dltool_reply ;;
        lr-find--plugin) return ;;
        tune--data) return ;;
        tune--labels) return ;;
        tune--image-size) _dltool_reply ;;
        tune--color) _dltool_reply rgb gray ;;
        tune--resize) _dltool_reply stretch crop pad ;;
        tune--class-names) return ;;
        tune--limit) _dltool_reply ;;
        tune--lr) _dltool_reply ;;
        tune--try) _dltool_reply ;;
        tune--trials) _dltool_reply ;;
        tune--journal) return ;;
        tune--output | tune-o) return ;;
        tune--val) return ;;
        tune--val-labels) return ;;
        tune--val-split) _dltool_reply ;;
        tune--group) return ;;
        tune--extra) return ;;
        tune--arch) _dltool_reply autoencoder cnn crnn gru lenet lstm mlp resnet-small resnet9 textcnn vgg-small ;;
        tune--epochs) _dltool_reply ;;
        tune--batch-size) _dltool_reply ;;
        tune--optimizer) _dltool_reply adadelta adagrad adam adamax adamw ftrl lion nadam rmsprop sgd ;;
        tune--loss) _dltool_reply binary_crossentropy binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy categorical_hinge cosine_similarity ctc hinge huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson sparse_categorical_crossentropy squared_hinge ;;
        tune--metric) _dltool_reply accuracy auc binary_accuracy binary_crossentropy binary_io_u categorical_accuracy categorical_crossentropy categorical_hinge concordance_correlation cosine_similarity crossentropy f1_score false_negatives false_positives fbeta_score hinge io_u kl_divergence log_cosh_error mean_absolute_error mean_absolute_percentage_error mean_io_u mean_squared_error mean_squared_logarithmic_error one_hot_io_u one_hot_mean_io_u pearson_correlation poisson precision precision_at_recall r2_score recall recall_at_precision root_mean_squared_error sensitivity_at_specificity sparse_categorical_accuracy sparse_categorical_crossentropy sparse_top_k_categorical_accuracy specificity_at_sensitivity squared_hinge top_k_categorical_accuracy true_negatives true_positives ;;
        tune--loss-weight) _dltool_reply ;;
        tune--schedule) _dltool_reply 1cycle constant cosine exp flat-cosine plateau poly sgdr step time ;;
        tune--warmup) _dltool_reply ;;
        tune--clip-norm) _dltool_reply ;;
        tune--clip-value) _dltool_reply ;;
        tune--weight-decay) _dltool_reply ;;
        tune--label-smoothing) _dltool_reply ;;
        tune--ema) _dltool_reply ;;
        tune--time) _dltool_reply ;;
        tune--freeze) _dltool_reply ;;
        tune--monitor) _dltool_reply ;;
        tune--augment) return ;;
        tune--balance) _dltool_reply oversample ;;
        tune--class-weight) _dltool_reply ;;
        tune--seed) _dltool_reply ;;
        tune--jobs) _dltool_reply ;;
        tune--backend) _dltool_reply auto threads processes ;;
        tune--plugin) return ;;
        pseudo-label--unlabelled) return ;;
        pseudo-label--data) return ;;
        pseudo-label--labels) return ;;
        pseudo-label--image-size) _dltool_reply ;;
        pseudo-label--color) _dltool_reply rgb gray ;;
        pseudo-label--resize) _dltool_reply stretch crop pad ;;
        pseudo-label--class-names) return ;;
        pseudo-label--limit) _dltool_reply ;;
        pseudo-label--val) return ;;
        pseudo-label--val-labels) return ;;
        pseudo-label--threshold) _dltool_reply ;;
        pseudo-label--min-precision) _dltool_reply ;;
        pseudo-label--max-per-class) _dltool_reply ;;
        pseudo-label--into) return ;;
        pseudo-label--rounds) _dltool_reply ;;
        pseudo-label--train-to) return ;;
        pseudo-label--epochs) _dltool_reply ;;
        pseudo-label--augment) return ;;
        pseudo-label--ask) _dltool_reply ;;
        pseudo-label--plugin) return ;;
        pseudo-label--output | pseudo-label-o) return ;;
        pseudo-label--batch-size) _dltool_reply ;;
        pseudo-label--jobs) _dltool_reply ;;
        pseudo-label--backend) _dltool_reply auto threads processes ;;
        finetune--data) return ;;
        finetune--labels) return ;;
        finetune--image-size) _dltool_reply ;;
        finetune--color) _dltool_reply rgb gray ;;
        finetune--resize) _dltool_reply stretch crop pad ;;
        finetune--class-names) return ;;
        finetune--limit) _dltool_reply ;;
        finetune--val) return ;;
        finetune--val-labels) return ;;
        finetune--val-split) _dltool_reply ;;
        finetune--pop) _dltool_reply ;;
        finetune--at) _dltool_reply ;;
        finetune--head) _dltool_reply ;;
        finetune--epochs) _dltool_reply ;;
        finetune--epochs-unfrozen) _dltool_reply ;;
        finetune--unfreeze) _dltool_reply ;;
        finetune--features) return ;;
        finetune--bn) _dltool_reply freeze update ;;
        finetune--preprocess) _dltool_reply caffe tf torch none ;;
        finetune--augment) return ;;
        finetune--batch-size) _dltool_reply ;;
        finetune--optimizer) _dltool_reply adadelta adagrad adam adamax adamw ftrl lion nadam rmsprop sgd ;;
        finetune--lr) _dltool_reply ;;
        finetune--loss) _dltool_reply binary_crossentropy binary_focal_crossentropy categorical_crossentropy categorical_focal_crossentropy categorical_hinge cosine_similarity ctc hinge huber kl_divergence log_cosh mean_absolute_error mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error poisson sparse_categorical_crossentropy squared_hinge ;;
        finetune--metric) _dltool_reply accuracy auc binary_accuracy binary_crossentropy binary_io_u categorical_accuracy categorical_crossentropy categorical_hinge concordance_correlation cosine_similarity crossentropy f1_score false_negatives false_positives fbeta_score hinge io_u kl_divergence log_cosh_error mean_absolute_error mean_absolute_percentage_error mean_io_u mean_squared_error mean_squared_logarithmic_error one_hot_io_u one_hot_mean_io_u pearson_correlation poisson precision precision_at_recall r2_score recall recall_at_precision root_mean_squared_error sensitivity_at_specificity sparse_categorical_accuracy sparse_categorical_crossentropy sparse_top_k_categorical_accuracy specificity_at_sensitivity squared_hinge top_k_categorical_accuracy true_negatives true_positives ;;
        finetune--seed) _dltool_reply ;;
        finetune--jobs) _dltool_reply ;;
        finetune--backend) _dltool_reply auto threads processes ;;
        finetune--plugin) return ;;
        finetune--output | finetune-o) return ;;
        convert--from) return ;;
        convert--arch) _dltool_reply autoencoder cnn crnn gru lenet lstm mlp resnet-small resnet9 textcnn vgg-small ;;
        convert--input) _dltool_reply ;;
        convert--classes) _dltool_reply ;;
        convert--class-names) return ;;
        convert--labels-from) return ;;
        convert--plugin) return ;;
    esac
}

_dltool_options() {
    case $1 in
        '') _dltool_reply --version -h --help ;;
        build) _dltool_reply --input --classes --arch --from --like --data --labels --multi-label --image-size --color --resize --class-names --limit --allow-empty --skip-bad --window --horizon --target-column --target --optimizer --lr --loss --metric --seed --no-rescale --plugin --force -f --dry-run --quiet -q --verbose -v --debug -h --help ;;
        fit) _dltool_reply --data --labels --multi-label --image-size --color --resize --class-names --limit --allow-empty --skip-bad --window --horizon --target-column --target --val --val-labels --val-split --group --extra --arch --epochs --batch-size --optimizer --lr --loss --metric --loss-weight --schedule --warmup --clip-norm --clip-value --weight-decay --label-smoothing --ema --time --restarts --freeze --init-from --early-stop --monitor --min-delta --augment --augment-preview --balance --class-weight --decision-threshold --seed --no-shuffle --jobs --backend --exact --resume --reset-optimizer --plugin --output -o --checkpoint --log --log-every --plot --force -f --no-state --no-normalize --no-rescale --dry-run --quiet -q --verbose -v --debug -h --help ;;
        evaluate) _dltool_reply --data --labels --multi-label --image-size --color --resize --class-names --limit --allow-empty --skip-bad --window --horizon --target-column --target --beta --top --top-losses --fail-under --beam --tta --batch-size --jobs --backend --exact --plugin --json --output -o --force -f --quiet -q --verbose -v --debug -h --help ;;
        predict) _dltool_reply --files0-from --top --probs --min-prob --layer --format --beam --sort-into --output -o --force -f --image-size --color --resize --window --class-names --tta --batch-size --jobs --backend --plugin --exact --quiet -q --verbose -v --debug -h --help ;;
        summary) _dltool_reply --weights --config --timing --advice --activations --data --labels --diff --batch-size --plugin --json --quiet -q --verbose -v --debug -h --help ;;
        lr-find) _dltool_reply --data --labels --multi-label --image-size --color --resize --class-names --limit --allow-empty --skip-bad --window --horizon --target-column --target --min --max --steps --pick --plot --force -f --optimizer --loss --batch-size --jobs --backend --seed --plugin --json --quiet -q --verbose -v --debug -h --help ;;
        tune) _dltool_reply --data --labels --multi-label --image-size --color --resize --class-names --limit --allow-empty --skip-bad --lr --try --trials --journal --output -o --force -f --json --quiet -q --verbose -v --debug --val --val-labels --val-split --group --extra --arch --epochs --batch-size --optimizer --loss --metric --loss-weight --schedule --warmup --clip-norm --clip-value --weight-decay --label-smoothing --ema --time --freeze --monitor --augment --balance --class-weight --seed --jobs --backend --exact --plugin --no-normalize --no-rescale -h --help ;;
        pseudo-label) _dltool_reply --unlabelled --data --labels --multi-label --image-size --color --resize --class-names --limit --allow-empty --skip-bad --val --val-labels --threshold --min-precision --max-per-class --no-calibration --into --rounds --train-to --epochs --augment --ask --plugin --output -o --force -f --batch-size --jobs --backend --json --quiet -q --verbose -v --debug -h --help ;;
        finetune) _dltool_reply --data --labels --multi-label --image-size --color --resize --class-names --limit --allow-empty --skip-bad --val --val-labels --val-split --pop --at --head --epochs --epochs-unfrozen --unfreeze --gradual --precompute --no-precompute --features --bn --preprocess --augment --batch-size --optimizer --lr --loss --metric --seed --jobs --backend --plugin --output -o --force -f --no-rescale --quiet -q --verbose -v --debug -h --help ;;
        convert) _dltool_reply --from --arch --input --classes --no-rescale --class-names --labels-from --plugin --force -f --quiet -q --verbose -v --debug -h --help ;;
        completion) _dltool_reply --quiet -q --verbose -v --debug -h --help ;;
        help) _dltool_reply --quiet -q --verbose -v --debug -h --help ;;
    esac
}

_dltool_arguments() {
    case $1:$2 in
        :0) _dltool_reply build fit evaluate predict summary lr-find tune pseudo-label finetune convert completion help ;;
        build:0) return ;;
        build:*) _dltool_reply abs absolute act activation activityregularization add additiveattention alphadropout attention average averagepooling1d averagepooling2d averagepooling3d avgpool avgpool2d batchnorm batchnormalization bidir bidirectional bn categoryencoding centercrop clip concat concatenate conv conv1d conv1dtranspose conv2d conv2dtranspose conv3d conv3dtranspose convlstm1d convlstm2d convlstm3d cos cropping1d cropping2d cropping3d customscalelayer deconv dense depthtospace depthwise depthwiseconv depthwiseconv1d depthwiseconv2d discretization divide dot dropout einsum einsumdense elu embed embedding expanddims fc flatten flip gap gaussiandropout gaussiannoise gelu getitem globalaveragepooling1d globalaveragepooling2d globalaveragepooling3d globalavgpool globalmaxpool globalmaxpooling1d globalmaxpooling2d globalmaxpooling3d gmp gn groupnorm groupnormalization gru highway input inputlayer layernorm layernormalization layerscale leakyrelu ln locallyconnected1d locallyconnected2d log log1p logsumexp lstm masking matmul max maximum maxoutdense maxpool maxpool2d maxpooling1d maxpooling2d maxpooling3d mean mha min minimum multiheadattention multiply noise norm normalization pad parametricsoftplus part permute power prelu randombrightness randomcontrast randomcrop randomflip randomheight randomrotation randomtranslation randomwidth randomzoom relu repeat repeatvector rescale rescaling reshape resize resizing rmsnorm rmsnormalization rnn rsqrt separable separableconv1d separableconv2d simplernn sin softmax spacetodepth spatialdropout1d spatialdropout2d spatialdropout3d split sqrt squeeze srelu stack std stochasticdepth stopgradient subtract sum thresholdedrelu tile timedist timedistributed unitnormalization upsample upsampling1d upsampling2d upsampling3d var vectornorm zeropad zeropadding1d zeropadding2d zeropadding3d ;;
        fit:0) return ;;
        evaluate:0) return ;;
        evaluate:1) _dltool_reply ;;
        predict:0) return ;;
        predict:*) return ;;
        summary:0) return ;;
        lr-find:0) return ;;
        tune:0) return ;;
        pseudo-label:0) return ;;
        finetune:0) return ;;
        convert:0) _dltool_reply ;;
        convert:1) _dltool_reply ;;
        completion:0) _dltool_reply bash zsh fish ;;
        help:0) _dltool_reply augmentation data exit-codes layer-words limits losses model-file numerics output plugins python schedules sequences changelog build fit evaluate predict summary lr-find tune pseudo-label finetune convert completion help ;;
        *) _dltool_reply ;;
    esac
}

complete -o default -F _dltool dltool
