# Completion of dltool for fish. Written by 'dltool completion fish'; changes here are lost.

# __dltool_at '' : no command is typed yet.   __dltool_at fit : the command is fit.
# __dltool_at fit 0 : and the word being typed is its first argument.   __dltool_at fit 0 more : or a later one.
function __dltool_at
    set -l words (commandline -opc)
    set -l count 0
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word --arch --backend --batch-size --checkpoint --class-names --class-weight --classes --clip-norm --clip-value --color --data --early-stop --epochs --extra --format --freeze --from --group --image-size --input --jobs --labels --like --limit --log --log-every --loss --loss-weight --lr --metric --min-delta --monitor --optimizer --output --plot --resize --schedule --seed --top --val --val-labels --val-split --warmup --weight-decay -o
            set skip 1
        else if not string match -q -- '-*' $word
            set count (math $count + 1)
            if test $count = 1; and test "$word" != "$argv[1]"
                return 1
            end
        end
    end
    if test "$argv[1]" = ''
        test $count = 0
    else if not set -q argv[2]
        test $count -gt 0
    else if test $skip = 1
        return 1
    else if set -q argv[3]
        test $count -gt $argv[2]
    else
        test $count = (math $argv[2] + 1)
    end
end

complete -c dltool -f
complete -c dltool -n "__dltool_at ''" -l version -d 'Show the version and exit.'
complete -c dltool -n "__dltool_at ''" -s h -l help -d 'Show this message and exit.'
complete -c dltool -n "__dltool_at ''" -a build -d 'Write an untrained model from layer words or a ready architecture.'
complete -c dltool -n "__dltool_at ''" -a fit -d 'Train a model on labelled data.'
complete -c dltool -n "__dltool_at ''" -a evaluate -d 'Measure a model on labelled data.'
complete -c dltool -n "__dltool_at ''" -a predict -d 'Label files, folders and arrays.'
complete -c dltool -n "__dltool_at ''" -a summary -d 'Show what a model file holds.'
complete -c dltool -n "__dltool_at ''" -a completion -d 'Print the completion of a shell: bash, zsh or fish.'
complete -c dltool -n "__dltool_at ''" -a help -d 'Explain a topic or a command.'
complete -c dltool -n '__dltool_at build' -l input -r -f -d 'Shape of one sample: 28x28x1, or 20.'
complete -c dltool -n '__dltool_at build' -l classes -r -f -d 'Number of classes. [from the data]'
complete -c dltool -n '__dltool_at build' -l arch -r -f -a 'cnn lenet mlp resnet-small vgg-small' -d 'A ready architecture: cnn, lenet, mlp, resnet-small, vgg-small.'
complete -c dltool -n '__dltool_at build' -l from -r -F -d 'Take the network from Keras JSON; - for stdin.'
complete -c dltool -n '__dltool_at build' -l like -r -F -d 'Take the network of a model file, with fresh weights.'
complete -c dltool -n '__dltool_at build' -l data -r -F -d 'A folder of class folders, x.npy, x.npz, or a list of path,label (.csv .tsv .jsonl, or - for stdin); several are joined. NAME=x.npy feeds one of a model\'s inputs.'
complete -c dltool -n '__dltool_at build' -l labels -r -F -d 'Labels of an array: classes, one-hot rows, or numbers. NAME=y.npy for one of a model\'s outputs.'
complete -c dltool -n '__dltool_at build' -l multi-label -d 'Label rows of 0 and 1 may have several ones.'
complete -c dltool -n '__dltool_at build' -l image-size -r -f -d 'Size that images are brought to.'
complete -c dltool -n '__dltool_at build' -l color -r -f -a 'rgb gray' -d 'Read images as colour or grey.'
complete -c dltool -n '__dltool_at build' -l resize -r -f -a 'stretch crop pad' -d 'How images are brought to the size. [stretch]'
complete -c dltool -n '__dltool_at build' -l class-names -r -F -d 'Names of the classes, in the order of the outputs.'
complete -c dltool -n '__dltool_at build' -l limit -r -f -d 'Use at most N rows.'
complete -c dltool -n '__dltool_at build' -l allow-empty -d 'Accept class folders without images.'
complete -c dltool -n '__dltool_at build' -l skip-bad -d 'Leave unreadable images out, with a count.'
complete -c dltool -n '__dltool_at build' -l optimizer -r -f -a 'adadelta adagrad adam adamax adamw nadam rmsprop sgd' -d 'One of adadelta, adagrad, adam, adamax, adamw, nadam, rmsprop, sgd. [the file\'s own, or adam]'
complete -c dltool -n '__dltool_at build' -l lr -r -f -d 'Learning rate. [the file\'s own, or the optimizer\'s]'
complete -c dltool -n '__dltool_at build' -l loss -r -f -a 'binary_crossentropy categorical_crossentropy huber mean_absolute_error mean_squared_error sparse_categorical_crossentropy' -d 'What is minimised; OUTPUT=NAME for one of several outputs. [by the head]'
complete -c dltool -n '__dltool_at build' -l metric -r -f -a 'accuracy auc binary_accuracy categorical_accuracy f1_score fbeta_score mean_absolute_error mean_squared_error precision recall sparse_categorical_accuracy sparse_top_k_categorical_accuracy top_k_categorical_accuracy' -d 'What is measured; repeat for several. [by the head]'
complete -c dltool -n '__dltool_at build' -l seed -r -f -d 'Same seed, same result, bit for bit.'
complete -c dltool -n '__dltool_at build' -l no-rescale -d 'Leave out the Rescaling layer of image models.'
complete -c dltool -n '__dltool_at build' -l force -s f -d 'Replace an existing file.'
complete -c dltool -n '__dltool_at build' -l dry-run -d 'Check everything, show the plan and write nothing.'
complete -c dltool -n '__dltool_at build' -l quiet -s q -d 'Results only.'
complete -c dltool -n '__dltool_at build' -l verbose -s v -d 'Say more.'
complete -c dltool -n '__dltool_at build' -l debug -d 'Show the traceback of an error.'
complete -c dltool -n '__dltool_at build' -s h -l help -d 'Show this message and exit.'
complete -c dltool -n '__dltool_at build 0' -F
complete -c dltool -n '__dltool_at build 1 more' -a 'act activation add averagepooling2d avgpool avgpool2d batchnorm batchnormalization bn concat concatenate conv conv2d dense depthwise depthwiseconv depthwiseconv2d dropout fc flatten gap globalaveragepooling2d globalavgpool globalmaxpool globalmaxpooling2d gmp input inputlayer leakyrelu maxpool maxpool2d maxpooling2d norm normalization relu rescale rescaling reshape zeropad zeropadding2d'
complete -c dltool -n '__dltool_at fit' -l data -r -F -d 'A folder of class folders, x.npy, x.npz, or a list of path,label (.csv .tsv .jsonl, or - for stdin); several are joined. NAME=x.npy feeds one of a model\'s inputs.'
complete -c dltool -n '__dltool_at fit' -l labels -r -F -d 'Labels of an array: classes, one-hot rows, or numbers. NAME=y.npy for one of a model\'s outputs.'
complete -c dltool -n '__dltool_at fit' -l multi-label -d 'Label rows of 0 and 1 may have several ones.'
complete -c dltool -n '__dltool_at fit' -l image-size -r -f -d 'Size that images are brought to.'
complete -c dltool -n '__dltool_at fit' -l color -r -f -a 'rgb gray' -d 'Read images as colour or grey.'
complete -c dltool -n '__dltool_at fit' -l resize -r -f -a 'stretch crop pad' -d 'How images are brought to the size. [stretch]'
complete -c dltool -n '__dltool_at fit' -l class-names -r -F -d 'Names of the classes, in the order of the outputs.'
complete -c dltool -n '__dltool_at fit' -l limit -r -f -d 'Use at most N rows.'
complete -c dltool -n '__dltool_at fit' -l allow-empty -d 'Accept class folders without images.'
complete -c dltool -n '__dltool_at fit' -l skip-bad -d 'Leave unreadable images out, with a count.'
complete -c dltool -n '__dltool_at fit' -l val -r -F -d 'Validation data. [a valid/ folder, or a part of --data]'
complete -c dltool -n '__dltool_at fit' -l val-labels -r -F -d 'Labels of a validation array.'
complete -c dltool -n '__dltool_at fit' -l val-split -r -f -d 'Part held out for validation, 0 for none. [0.2]'
complete -c dltool -n '__dltool_at fit' -l group -r -F -d 'Rows that a split keeps together: a group per line, or path,group.'
complete -c dltool -n '__dltool_at fit' -l extra -r -F -d 'More rows for training only: path,label[,weight].'
complete -c dltool -n '__dltool_at fit' -l arch -r -f -a 'cnn lenet mlp resnet-small vgg-small' -d 'A ready architecture: cnn, lenet, mlp, resnet-small, vgg-small.'
complete -c dltool -n '__dltool_at fit' -l epochs -r -f -d 'Passes over the data.'
complete -c dltool -n '__dltool_at fit' -l batch-size -r -f -d 'Rows per step.'
complete -c dltool -n '__dltool_at fit' -l optimizer -r -f -a 'adadelta adagrad adam adamax adamw nadam rmsprop sgd' -d 'One of adadelta, adagrad, adam, adamax, adamw, nadam, rmsprop, sgd. [the file\'s own, or adam]'
complete -c dltool -n '__dltool_at fit' -l lr -r -f -d 'Learning rate. [the file\'s own, or the optimizer\'s]'
complete -c dltool -n '__dltool_at fit' -l loss -r -f -a 'binary_crossentropy categorical_crossentropy huber mean_absolute_error mean_squared_error sparse_categorical_crossentropy' -d 'What is minimised; OUTPUT=NAME for one of several outputs. [by the head]'
complete -c dltool -n '__dltool_at fit' -l metric -r -f -a 'accuracy auc binary_accuracy categorical_accuracy f1_score fbeta_score mean_absolute_error mean_squared_error precision recall sparse_categorical_accuracy sparse_top_k_categorical_accuracy top_k_categorical_accuracy' -d 'What is measured; repeat for several. [by the head]'
complete -c dltool -n '__dltool_at fit' -l loss-weight -r -f -d 'How much the loss of one of several outputs counts. [1]'
complete -c dltool -n '__dltool_at fit' -l schedule -r -f -a 'constant cosine exp plateau poly step time' -d 'How the rate changes: constant, cosine, exp, plateau, poly, step, time. [constant]'
complete -c dltool -n '__dltool_at fit' -l warmup -r -f -d 'Let the rate rise over so many epochs, or 500steps, first.'
complete -c dltool -n '__dltool_at fit' -l clip-norm -r -f -d 'Shrink each weight\'s gradient to this norm (Keras clipnorm).'
complete -c dltool -n '__dltool_at fit' -l clip-value -r -f -d 'Cut every number of the gradient to -X..X.'
complete -c dltool -n '__dltool_at fit' -l weight-decay -r -f -d 'Part of each weight that a step takes away, per rate.'
complete -c dltool -n '__dltool_at fit' -l freeze -r -f -d 'Layers that do not train: the first N, names as \'conv*\', or none.'
complete -c dltool -n '__dltool_at fit' -l early-stop -r -f -d 'Stop after N epochs without an improvement.'
complete -c dltool -n '__dltool_at fit' -l monitor -r -f -d 'What decides which epoch is best. [val_loss]'
complete -c dltool -n '__dltool_at fit' -l min-delta -r -f -d 'Least change that is an improvement. [0]'
complete -c dltool -n '__dltool_at fit' -l class-weight -r -f -d 'How much the rows of each class count.'
complete -c dltool -n '__dltool_at fit' -l seed -r -f -d 'Same seed, same result, bit for bit.'
complete -c dltool -n '__dltool_at fit' -l no-shuffle -d 'Keep the rows\' order.'
complete -c dltool -n '__dltool_at fit' -l jobs -r -f -d 'Parallel lanes. [one per CPU]'
complete -c dltool -n '__dltool_at fit' -l backend -r -f -a 'auto threads processes' -d 'What lanes are; the results are the same.'
complete -c dltool -n '__dltool_at fit' -l exact -d 'Leave out faster algorithms that round more (Winograd).'
complete -c dltool -n '__dltool_at fit' -l resume -d 'Go on with the interrupted run in the file, exactly.'
complete -c dltool -n '__dltool_at fit' -l reset-optimizer -d 'Forget the optimizer\'s state in the file.'
complete -c dltool -n '__dltool_at fit' -l output -s o -r -F -d 'Write here and leave MODEL as it is.'
complete -c dltool -n '__dltool_at fit' -l checkpoint -r -F -d 'Also write each improvement here; as e{epoch:03}.h5, every epoch.'
complete -c dltool -n '__dltool_at fit' -l log -r -F -d 'Write the numbers of every epoch to a .csv or .jsonl file.'
complete -c dltool -n '__dltool_at fit' -l log-every -r -f -a 'epoch batch' -d 'Rows of the log. [epoch]'
complete -c dltool -n '__dltool_at fit' -l plot -r -F -d 'Draw the curves to a .png, .svg or .pdf file (needs matplotlib).'
complete -c dltool -n '__dltool_at fit' -l force -s f -d 'Replace an existing file.'
complete -c dltool -n '__dltool_at fit' -l no-state -d 'Smaller file; training restarts.'
complete -c dltool -n '__dltool_at fit' -l no-normalize -d 'Take tables as they are.'
complete -c dltool -n '__dltool_at fit' -l no-rescale -d 'Leave out the Rescaling layer of image models.'
complete -c dltool -n '__dltool_at fit' -l dry-run -d 'Check everything, show the plan and write nothing.'
complete -c dltool -n '__dltool_at fit' -l quiet -s q -d 'Results only.'
complete -c dltool -n '__dltool_at fit' -l verbose -s v -d 'Say more.'
complete -c dltool -n '__dltool_at fit' -l debug -d 'Show the traceback of an error.'
complete -c dltool -n '__dltool_at fit' -s h -l help -d 'Show this message and exit.'
complete -c dltool -n '__dltool_at fit 0' -F
complete -c dltool -n '__dltool_at evaluate' -l data -r -F -d 'A folder of class folders, x.npy, x.npz, or a list of path,label (.csv .tsv .jsonl, or - for stdin); several are joined. NAME=x.npy feeds one of a model\'s inputs.'
complete -c dltool -n '__dltool_at evaluate' -l labels -r -F -d 'Labels of an array: classes, one-hot rows, or numbers. NAME=y.npy for one of a model\'s outputs.'
complete -c dltool -n '__dltool_at evaluate' -l multi-label -d 'Label rows of 0 and 1 may have several ones.'
complete -c dltool -n '__dltool_at evaluate' -l image-size -r -f -d 'Size that images are brought to.'
complete -c dltool -n '__dltool_at evaluate' -l color -r -f -a 'rgb gray' -d 'Read images as colour or grey.'
complete -c dltool -n '__dltool_at evaluate' -l resize -r -f -a 'stretch crop pad' -d 'How images are brought to the size. [stretch]'
complete -c dltool -n '__dltool_at evaluate' -l class-names -r -F -d 'Names of the classes, in the order of the outputs.'
complete -c dltool -n '__dltool_at evaluate' -l limit -r -f -d 'Use at most N rows.'
complete -c dltool -n '__dltool_at evaluate' -l allow-empty -d 'Accept class folders without images.'
complete -c dltool -n '__dltool_at evaluate' -l skip-bad -d 'Leave unreadable images out, with a count.'
complete -c dltool -n '__dltool_at evaluate' -l batch-size -r -f -d 'Rows per step.'
complete -c dltool -n '__dltool_at evaluate' -l jobs -r -f -d 'Parallel lanes. [one per CPU]'
complete -c dltool -n '__dltool_at evaluate' -l backend -r -f -a 'auto threads processes' -d 'What lanes are; the results are the same.'
complete -c dltool -n '__dltool_at evaluate' -l json -d 'Give the result as JSON.'
complete -c dltool -n '__dltool_at evaluate' -l quiet -s q -d 'Results only.'
complete -c dltool -n '__dltool_at evaluate' -l verbose -s v -d 'Say more.'
complete -c dltool -n '__dltool_at evaluate' -l debug -d 'Show the traceback of an error.'
complete -c dltool -n '__dltool_at evaluate' -s h -l help -d 'Show this message and exit.'
complete -c dltool -n '__dltool_at evaluate 0' -F
complete -c dltool -n '__dltool_at predict' -l top -r -f -d 'Give the K best labels. [1]'
complete -c dltool -n '__dltool_at predict' -l probs -d 'Give the probability of every class.'
complete -c dltool -n '__dltool_at predict' -l format -r -f -a 'table csv tsv jsonl npy' -d 'What rows look like. [table]'
complete -c dltool -n '__dltool_at predict' -l image-size -r -f -d 'Size that images are brought to.'
complete -c dltool -n '__dltool_at predict' -l color -r -f -a 'rgb gray' -d 'Read images as colour or grey.'
complete -c dltool -n '__dltool_at predict' -l resize -r -f -a 'stretch crop pad' -d 'How images are brought to the size. [stretch]'
complete -c dltool -n '__dltool_at predict' -l class-names -r -F -d 'Names of the classes, in the order of the outputs.'
complete -c dltool -n '__dltool_at predict' -l batch-size -r -f -d 'Rows per step.'
complete -c dltool -n '__dltool_at predict' -l jobs -r -f -d 'Parallel lanes. [one per CPU]'
complete -c dltool -n '__dltool_at predict' -l backend -r -f -a 'auto threads processes' -d 'What lanes are; the results are the same.'
complete -c dltool -n '__dltool_at predict' -l quiet -s q -d 'Results only.'
complete -c dltool -n '__dltool_at predict' -l verbose -s v -d 'Say more.'
complete -c dltool -n '__dltool_at predict' -l debug -d 'Show the traceback of an error.'
complete -c dltool -n '__dltool_at predict' -s h -l help -d 'Show this message and exit.'
complete -c dltool -n '__dltool_at predict 0' -F
complete -c dltool -n '__dltool_at predict 1 more' -F
complete -c dltool -n '__dltool_at summary' -l json -d 'Give the result as JSON.'
complete -c dltool -n '__dltool_at summary' -l quiet -s q -d 'Results only.'
complete -c dltool -n '__dltool_at summary' -l verbose -s v -d 'Say more.'
complete -c dltool -n '__dltool_at summary' -l debug -d 'Show the traceback of an error.'
complete -c dltool -n '__dltool_at summary' -s h -l help -d 'Show this message and exit.'
complete -c dltool -n '__dltool_at summary 0' -F
complete -c dltool -n '__dltool_at completion' -l quiet -s q -d 'Results only.'
complete -c dltool -n '__dltool_at completion' -l verbose -s v -d 'Say more.'
complete -c dltool -n '__dltool_at completion' -l debug -d 'Show the traceback of an error.'
complete -c dltool -n '__dltool_at completion' -s h -l help -d 'Show this message and exit.'
complete -c dltool -n '__dltool_at completion 0' -a 'bash zsh fish'
complete -c dltool -n '__dltool_at help' -l quiet -s q -d 'Results only.'
complete -c dltool -n '__dltool_at help' -l verbose -s v -d 'Say more.'
complete -c dltool -n '__dltool_at help' -l debug -d 'Show the traceback of an error.'
complete -c dltool -n '__dltool_at help' -s h -l help -d 'Show this message and exit.'
complete -c dltool -n '__dltool_at help 0' -a 'data exit-codes layer-words limits model-file numerics schedules changelog build fit evaluate predict summary completion help'
