"""The forms in which the book's cells call the package: each tab's own, positional and by keyword.

A cell here is a text that runs in a namespace where d2l is the backend, as it would in a notebook. The ones that take
long in the book are given few epochs and units.
"""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from importlib import resources
from pathlib import Path

import pytest

from d2lrnn.data import DATA_HUB, downloads

SHARED = {
    "8.2 text": """
        lines = d2l.read_time_machine()
        tokens = d2l.tokenize(lines)
        vocab = d2l.Vocab(tokens)
        assert vocab[tokens[0]] == [vocab[word] for word in tokens[0]]
        assert vocab.to_tokens(vocab[tokens[0]]) == tokens[0]
        corpus, vocab = d2l.load_corpus_time_machine()
        assert len(vocab) == 28
    """,
    "8.3 language models": """
        tokens = d2l.tokenize(d2l.read_time_machine())
        corpus = [token for line in tokens for token in line]
        vocab = d2l.Vocab(corpus)
        freqs = [freq for token, freq in vocab.token_freqs]
        bigrams = d2l.Vocab([pair for pair in zip(corpus[:-1], corpus[1:])])
        bigram_freqs = [freq for token, freq in bigrams.token_freqs]
        d2l.plot([freqs, bigram_freqs], xlabel='token: x', ylabel='frequency: n(x)', xscale='log', yscale='log',
                 legend=['unigram', 'bigram'])
        my_seq = list(range(35))
        for data_iter in (d2l.seq_data_iter_random, d2l.seq_data_iter_sequential):
            for X, Y in data_iter(my_seq, batch_size=2, num_steps=5):
                assert tuple(X.shape) == tuple(Y.shape) == (2, 5)
        d2l.SeqDataLoader(2, 5, True, 1000)
        d2l.load_data_time_machine(2, 5, use_random_iter=True, max_tokens=1000)
    """,
    "9.5 sentence pairs": """
        import os
        d2l.DATA_HUB['fra-eng'] = (d2l.DATA_URL + 'fra-eng.zip', '94646ad1522d915e7b0f9296181140edcf86a4f5')
        with open(os.path.join(d2l.download_extract('fra-eng'), 'fra.txt'), encoding='utf-8') as file:
            text = d2l.preprocess_nmt(file.read())
        source, target = d2l.tokenize_nmt(text, 100)
        d2l.set_figsize()
        _, _, patches = d2l.plt.hist([[len(words) for words in lines] for lines in (source, target)])
        d2l.plt.xlabel('words')
        d2l.plt.legend(['source', 'target'])
        patches[1].patches[0].set_hatch('/')
        vocab = d2l.Vocab(source, min_freq=2, reserved_tokens=['<pad>', '<bos>', '<eos>'])
        line = d2l.truncate_pad(vocab[source[0]], 10, vocab['<pad>'])
        assert len(line) == 10 and line[-1] == vocab['<pad>']
        array, valid_len = d2l.build_array_nmt(source, vocab, 8)
        assert tuple(array.shape) == (100, 8) and tuple(valid_len.shape) == (100,)
        train_iter, src_vocab, tgt_vocab = d2l.load_data_nmt(batch_size=2, num_steps=8)
        for X, X_valid_len, Y, Y_valid_len in train_iter:
            assert tuple(X.shape) == tuple(Y.shape) == (2, 8)
            assert tuple(X_valid_len.shape) == tuple(Y_valid_len.shape) == (2,)
            break
        assert d2l.bleu('il est calme .', 'il est calme .', k=2) == 1
    """,
    "3.6 helpers": """
        d2l.set_figsize((4, 3))
        timer, metric = d2l.Timer(), d2l.Accumulator(2)
        metric.add(1.5, 2)
        assert metric[0] / metric[1] == 0.75 and timer.stop() >= 0
        animator = d2l.Animator(xlabel='epoch', ylabel='perplexity', legend=['train'], xlim=[10, 500])
        animator.add(10, [3.0])
    """,
}

TORCH = {
    "8.5 from scratch": """
        import torch
        from torch.nn import functional as F
        batch_size, num_steps = 4, 10
        train_iter, vocab = d2l.load_data_time_machine(batch_size, num_steps)
        net = d2l.RNNModelScratch(len(vocab), 16, d2l.try_gpu(), d2l.get_params, d2l.init_rnn_state, d2l.rnn)
        X = torch.arange(10).reshape((2, 5))
        assert F.one_hot(X.T, 28).shape == (5, 2, 28)
        state = net.begin_state(X.shape[0], d2l.try_gpu())
        Y, new_state = net(X.to(d2l.try_gpu()), state)
        assert Y.shape == (10, len(vocab)) and len(new_state) == 1 and new_state[0].shape == (2, 16)
        d2l.predict_ch8('time traveller ', 10, net, vocab, d2l.try_gpu())
        d2l.train_ch8(net, train_iter, vocab, 1, 1, d2l.try_gpu())
        d2l.train_ch8(net, d2l.load_data_time_machine(4, 10, use_random_iter=True)[0], vocab, 1, 1, d2l.try_gpu(),
                      use_random_iter=True)
    """,
    "8.5 a reader's own functions": """
        import math, torch
        from torch import nn
        class Model:
            def __init__(self, vocab_size, num_hiddens, device, get_params, init_state, forward_fn):
                self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
                self.params = get_params(vocab_size, num_hiddens, device)
                self.init_state, self.forward_fn = init_state, forward_fn
            def __call__(self, X, state):
                X = nn.functional.one_hot(X.T, self.vocab_size).type(torch.float32)
                return self.forward_fn(X, state, self.params)
            def begin_state(self, batch_size, device):
                return self.init_state(batch_size, self.num_hiddens, device)
        def forward(inputs, state, params):
            W_xh, W_hh, b_h, W_hq, b_q = params
            H, = state
            outputs = []
            for X in inputs:
                H = torch.relu(torch.mm(X, W_xh) + torch.mm(H, W_hh) + b_h)
                outputs.append(torch.mm(H, W_hq) + b_q)
            return torch.cat(outputs, dim=0), (H,)
        device = d2l.try_gpu()
        train_iter, vocab = d2l.load_data_time_machine(4, 10, max_tokens=500)
        net = Model(len(vocab), 16, device, d2l.get_params, d2l.init_rnn_state, forward)
        updater = lambda batch_size: d2l.sgd(net.params, 1, batch_size)
        ppl, speed = d2l.train_epoch_ch8(net, train_iter, nn.CrossEntropyLoss(), updater, device, False)
        state, metric = None, d2l.Accumulator(2)
        for X, Y in train_iter:
            state = net.begin_state(batch_size=X.shape[0], device=device)
            X, y = X.to(device), Y.T.reshape(-1).to(device)
            y_hat, state = net(X, state)
            l = nn.CrossEntropyLoss()(y_hat, y.long()).mean()
            l.backward()
            d2l.grad_clipping(net, 1)
            updater(batch_size=1)
            metric.add(l * d2l.size(y), y.numel())
        assert math.exp(metric[0] / metric[1]) < 29
        d2l.train_ch8(net, train_iter, vocab, 1, 1, device)
    """,
    "8.6 concise": """
        import torch
        from torch import nn
        train_iter, vocab = d2l.load_data_time_machine(32, 35)
        rnn_layer = nn.RNN(len(vocab), 256)
        state = torch.zeros((1, 32, 256))
        Y, state_new = rnn_layer(torch.rand(size=(35, 32, len(vocab))), state)
        assert Y.shape == (35, 32, 256) and state_new.shape == (1, 32, 256)
        device = d2l.try_gpu()
        net = d2l.RNNModel(rnn_layer, vocab_size=len(vocab))
        net = net.to(device)
        d2l.predict_ch8('time traveller', 10, net, vocab, device)
        d2l.train_ch8(net, train_iter, vocab, 1, 1, device)
    """,
    "9 deep and bidirectional": """
        from torch import nn
        train_iter, vocab = d2l.load_data_time_machine(4, 10, max_tokens=500)
        device = d2l.try_gpu()
        for layer in (nn.GRU(len(vocab), 16), nn.LSTM(len(vocab), 16, 2),
                      nn.LSTM(len(vocab), 16, 2, bidirectional=True)):
            net = d2l.RNNModel(layer, len(vocab)).to(device)
            d2l.train_ch8(net, train_iter, vocab, 2, 1, device)
    """,
    "8.1 a sine": """
        import torch
        from torch import nn
        time = torch.arange(1, 101, dtype=torch.float32)
        x = torch.sin(0.01 * time) + torch.normal(0, 0.2, (100,))
        d2l.plot(time, [x], 'time', 'x', xlim=[1, 100], figsize=(6, 3))
        features = torch.stack([x[i:i + 96] for i in range(4)], dim=1)
        train_iter = d2l.load_array((features, x[4:].reshape(-1, 1)), 16, is_train=True)
        net = nn.Linear(4, 1)
        assert d2l.evaluate_loss(net, train_iter, nn.MSELoss(reduction='none')) > 0
        d2l.plot([time, time[4:]], [x, net(features)[:, 0].detach().numpy()], 'time', 'x', legend=['data', 'preds'])
    """,
    "9.6 and 9.7 from sentence to sentence": """
        import torch
        from torch import nn
        class Reader(d2l.Encoder):
            def __init__(self, vocab_size, num_hiddens, **kwargs):
                super(Reader, self).__init__(**kwargs)
                self.embedding = nn.Embedding(vocab_size, num_hiddens)
                self.rnn = nn.GRU(num_hiddens, num_hiddens)
            def forward(self, X, *args):
                return self.rnn(self.embedding(X).permute(1, 0, 2))
        class Writer(d2l.Decoder):
            def __init__(self, vocab_size, num_hiddens, **kwargs):
                super(Writer, self).__init__(**kwargs)
                self.embedding = nn.Embedding(vocab_size, num_hiddens)
                self.rnn = nn.GRU(2 * num_hiddens, num_hiddens)
                self.dense = nn.Linear(num_hiddens, vocab_size)
            def init_state(self, enc_outputs, *args):
                return enc_outputs[1]
            def forward(self, X, state):
                X = self.embedding(X).permute(1, 0, 2)
                context = state[-1].repeat(X.shape[0], 1, 1)
                output, state = self.rnn(torch.cat((X, context), 2), state)
                return self.dense(output).permute(1, 0, 2), state
        torch.manual_seed(0)
        device = d2l.try_gpu()
        train_iter, src_vocab, tgt_vocab = d2l.load_data_nmt(16, 8, 48)
        net = d2l.EncoderDecoder(Reader(len(src_vocab), 16), Writer(len(tgt_vocab), 16))
        net.to(device)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
        losses = []
        for epoch in range(8):
            metric = d2l.Accumulator(2)
            for batch in train_iter:
                optimizer.zero_grad()
                X, X_valid_len, Y, Y_valid_len = [x.to(device) for x in batch]
                bos = torch.tensor([tgt_vocab['<bos>']] * Y.shape[0], device=device).reshape(-1, 1)
                Y_hat, _ = net(X, torch.cat([bos, Y[:, :-1]], 1), X_valid_len)
                l = nn.functional.cross_entropy(Y_hat.permute(0, 2, 1), Y, ignore_index=tgt_vocab['<pad>'],
                                                reduction='sum')
                l.backward()
                d2l.grad_clipping(net, 1)
                optimizer.step()
                metric.add(l, Y_valid_len.sum())
            losses.append(metric[0] / metric[1])
        assert losses[-1] < 0.6 * losses[0], losses
        net.eval()
        words = d2l.truncate_pad(src_vocab['go .'.split(' ')] + [src_vocab['<eos>']], 8, src_vocab['<pad>'])
        enc_X = torch.unsqueeze(torch.tensor(words, dtype=torch.long, device=device), dim=0)
        state = net.decoder.init_state(net.encoder(enc_X, None), None)
        Y, state = net.decoder(torch.tensor([[tgt_vocab['<bos>']]], device=device), state)
        assert len(tgt_vocab.to_tokens(Y.argmax(dim=2))) == 1
    """,
}

MXNET = {
    "8.5 from scratch": """
        from mxnet import np, npx
        npx.set_np()
        train_iter, vocab = d2l.load_data_time_machine(4, 10)
        assert npx.one_hot(np.array([0, 2]), len(vocab)).shape == (2, 28)
        X = np.arange(10).reshape((2, 5))
        assert npx.one_hot(X.T, 28).shape == (5, 2, 28)
        net = d2l.RNNModelScratch(len(vocab), 16, d2l.try_gpu(), d2l.get_params, d2l.init_rnn_state, d2l.rnn)
        state = net.begin_state(X.shape[0], d2l.try_gpu())
        Y, new_state = net(X.as_in_context(d2l.try_gpu()), state)
        assert Y.shape == (10, len(vocab)) and len(new_state) == 1 and new_state[0].shape == (2, 16)
        d2l.predict_ch8('time traveller ', 10, net, vocab, d2l.try_gpu())
        d2l.train_ch8(net, train_iter, vocab, 1, 1, d2l.try_gpu())
        d2l.train_ch8(net, d2l.load_data_time_machine(4, 10, use_random_iter=True)[0], vocab, 1, 1, d2l.try_gpu(),
                      use_random_iter=True)
    """,
    "8.5 a reader's own functions": """
        import math
        from mxnet import autograd, gluon, np, npx
        class Model:
            def __init__(self, vocab_size, num_hiddens, device, get_params, init_state, forward_fn):
                self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
                self.params = get_params(vocab_size, num_hiddens, device)
                self.init_state, self.forward_fn = init_state, forward_fn
            def __call__(self, X, state):
                X = npx.one_hot(X.T, self.vocab_size)
                return self.forward_fn(X, state, self.params)
            def begin_state(self, batch_size, ctx):
                return self.init_state(batch_size, self.num_hiddens, ctx)
        def forward(inputs, state, params):
            W_xh, W_hh, b_h, W_hq, b_q = params
            H, = state
            outputs = []
            for X in inputs:
                H = npx.relu(np.dot(X, W_xh) + np.dot(H, W_hh) + b_h)
                outputs.append(np.dot(H, W_hq) + b_q)
            return np.concatenate(outputs, axis=0), (H,)
        device = d2l.try_gpu()
        train_iter, vocab = d2l.load_data_time_machine(4, 10, max_tokens=500)
        net = Model(len(vocab), 16, device, d2l.get_params, d2l.init_rnn_state, forward)
        loss = gluon.loss.SoftmaxCrossEntropyLoss()
        updater = lambda batch_size: d2l.sgd(net.params, 1, batch_size)
        ppl, speed = d2l.train_epoch_ch8(net, train_iter, loss, updater, device, False)
        metric = d2l.Accumulator(2)
        for X, Y in train_iter:
            state = net.begin_state(batch_size=X.shape[0], ctx=device)
            y = Y.T.reshape(-1)
            X, y = X.as_in_ctx(device), y.as_in_ctx(device)
            with autograd.record():
                y_hat, state = net(X, state)
                l = loss(y_hat, y).mean()
            l.backward()
            d2l.grad_clipping(net, 1)
            updater(batch_size=1)
            metric.add(l * d2l.size(y), d2l.size(y))
        assert math.exp(metric[0] / metric[1]) < 29
        d2l.train_ch8(net, train_iter, vocab, 1, 1, device)
    """,
    "8.6 concise": """
        from mxnet import np
        from mxnet.gluon import rnn
        train_iter, vocab = d2l.load_data_time_machine(32, 35)
        rnn_layer = rnn.RNN(256)
        rnn_layer.initialize()
        state = rnn_layer.begin_state(batch_size=2)
        assert len(state) == 1 and state[0].shape == (1, 2, 256)
        Y, state_new = rnn_layer(np.random.uniform(size=(35, 2, len(vocab))), state)
        assert Y.shape == (35, 2, 256) and state_new[0].shape == (1, 2, 256)
        device = d2l.try_gpu()
        net = d2l.RNNModel(rnn_layer, len(vocab))
        net.initialize(force_reinit=True, ctx=device)
        d2l.predict_ch8('time traveller', 10, net, vocab, device)
        d2l.train_ch8(net, train_iter, vocab, 1, 1, device)
    """,
    "9 deep and bidirectional": """
        from mxnet.gluon import rnn
        train_iter, vocab = d2l.load_data_time_machine(4, 10, max_tokens=500)
        device = d2l.try_gpu()
        for layer in (rnn.GRU(16), rnn.LSTM(16, 2), rnn.LSTM(16, 2, bidirectional=True)):
            net = d2l.RNNModel(layer, len(vocab))
            d2l.train_ch8(net, train_iter, vocab, 2, 1, device)
    """,
    "8.1 a sine": """
        from mxnet import gluon, np
        from mxnet.gluon import nn
        time = np.arange(1, 101, dtype=np.float32)
        x = np.sin(0.01 * time) + np.random.normal(0, 0.2, (100,))
        d2l.plot(time, [x], 'time', 'x', xlim=[1, 100], figsize=(6, 3))
        features = np.stack([x[i:i + 96] for i in range(4)], axis=1)
        train_iter = d2l.load_array((features, x[4:].reshape((-1, 1))), 16, is_train=True)
        net = nn.Dense(1)
        net.initialize()
        assert d2l.evaluate_loss(net, train_iter, gluon.loss.L2Loss()) > 0
        d2l.plot([time, time[4:]], [x.asnumpy(), net(features)[:, 0].asnumpy()], 'time', 'x', legend=['data', 'preds'])
    """,
    "9.6 and 9.7 from sentence to sentence": """
        from mxnet import autograd, gluon, init, np, npx, random
        from mxnet.gluon import nn, rnn
        class Reader(d2l.Encoder):
            def __init__(self, vocab_size, num_hiddens, **kwargs):
                super(Reader, self).__init__(**kwargs)
                self.embedding = nn.Embedding(vocab_size, num_hiddens)
                self.rnn = rnn.GRU(num_hiddens)
            def forward(self, X, *args):
                X = self.embedding(X).swapaxes(0, 1)
                return self.rnn(X, self.rnn.begin_state(batch_size=X.shape[1], ctx=X.ctx))
        class Writer(d2l.Decoder):
            def __init__(self, vocab_size, num_hiddens, **kwargs):
                super(Writer, self).__init__(**kwargs)
                self.embedding = nn.Embedding(vocab_size, num_hiddens)
                self.rnn = rnn.GRU(num_hiddens)
                self.dense = nn.Dense(vocab_size, flatten=False)
            def init_state(self, enc_outputs, *args):
                return enc_outputs[1]
            def forward(self, X, state):
                X = self.embedding(X).swapaxes(0, 1)
                context = state[0][-1]
                context = np.broadcast_to(context, (X.shape[0], context.shape[0], context.shape[1]))
                output, state = self.rnn(np.concatenate((X, context), 2), state)
                return self.dense(output).swapaxes(0, 1), state
        random.seed(0)
        device = d2l.try_gpu()
        train_iter, src_vocab, tgt_vocab = d2l.load_data_nmt(16, 8, 48)
        net = d2l.EncoderDecoder(Reader(len(src_vocab), 16), Writer(len(tgt_vocab), 16))
        net.initialize(init.Xavier(), force_reinit=True, ctx=device)
        trainer = gluon.Trainer(net.collect_params(), 'adam', {'learning_rate': 0.02})
        loss = gluon.loss.SoftmaxCELoss()
        losses = []
        for epoch in range(8):
            metric = d2l.Accumulator(2)
            for batch in train_iter:
                X, X_valid_len, Y, Y_valid_len = [x.as_in_ctx(device) for x in batch]
                bos = np.array([tgt_vocab['<bos>']] * Y.shape[0], ctx=device).reshape(-1, 1)
                weights = npx.sequence_mask(np.expand_dims(np.ones_like(Y), axis=-1), Y_valid_len, True, axis=1)
                with autograd.record():
                    Y_hat, _ = net(X, np.concatenate([bos, Y[:, :-1]], 1), X_valid_len)
                    l = loss(Y_hat, Y, weights)
                l.backward()
                d2l.grad_clipping(net, 1)
                num_tokens = Y_valid_len.sum()
                trainer.step(num_tokens)
                metric.add(l.sum() * Y.shape[1], num_tokens)
            losses.append(metric[0] / metric[1])
        assert losses[-1] < 0.6 * losses[0], losses
        words = d2l.truncate_pad(src_vocab['go .'.split(' ')] + [src_vocab['<eos>']], 8, src_vocab['<pad>'])
        enc_X = np.expand_dims(np.array(words, ctx=device), axis=0)
        state = net.decoder.init_state(net.encoder(enc_X, None), None)
        Y, state = net.decoder(np.array([[tgt_vocab['<bos>']]], ctx=device), state)
        assert len(tgt_vocab.to_tokens(Y.argmax(axis=2).astype('int32'))) == 1
    """,
}

TENSORFLOW_ANY_KERAS = {
    "8.5 from scratch": """
        import tensorflow as tf
        train_iter, vocab = d2l.load_data_time_machine(4, 10)
        X = tf.reshape(tf.range(10), (2, 5))
        assert tf.one_hot(tf.transpose(X), 28).shape == (5, 2, 28)
        strategy = tf.distribute.OneDeviceStrategy(d2l.try_gpu()._device_name)
        with strategy.scope():
            net = d2l.RNNModelScratch(len(vocab), 16, d2l.init_rnn_state, d2l.rnn, d2l.get_params)
        state = net.begin_state(X.shape[0])
        Y, new_state = net(X, state)
        assert Y.shape == (10, len(vocab)) and len(new_state) == 1 and new_state[0].shape == (2, 16)
        d2l.predict_ch8('time traveller ', 10, net, vocab)
        d2l.train_ch8(net, train_iter, vocab, 1, 1, strategy)
        d2l.train_ch8(net, d2l.load_data_time_machine(4, 10, use_random_iter=True)[0], vocab, 1, 1, strategy,
                      use_random_iter=True)
    """,
    "8.5 a reader's own functions": """
        import math
        import tensorflow as tf
        class Model:
            def __init__(self, vocab_size, num_hiddens, init_state, forward_fn, get_params):
                self.vocab_size, self.num_hiddens = vocab_size, num_hiddens
                self.init_state, self.forward_fn = init_state, forward_fn
                self.trainable_variables = get_params(vocab_size, num_hiddens)
            def __call__(self, X, state):
                X = tf.one_hot(tf.transpose(X), self.vocab_size)
                X = tf.cast(X, tf.float32)
                return self.forward_fn(X, state, self.trainable_variables)
            def begin_state(self, batch_size, *args, **kwargs):
                return self.init_state(batch_size, self.num_hiddens)
        def forward(inputs, state, params):
            W_xh, W_hh, b_h, W_hq, b_q = params
            H, = state
            outputs = []
            for X in inputs:
                X = tf.reshape(X, [-1, W_xh.shape[0]])
                H = tf.nn.relu(tf.matmul(X, W_xh) + tf.matmul(H, W_hh) + b_h)
                outputs.append(tf.matmul(H, W_hq) + b_q)
            return tf.concat(outputs, axis=0), (H,)
        train_iter, vocab = d2l.load_data_time_machine(4, 10, max_tokens=500)
        strategy = tf.distribute.OneDeviceStrategy('/CPU:0')
        with strategy.scope():
            net = d2l.RNNModelScratch(len(vocab), 16, d2l.init_rnn_state, forward, d2l.get_params)
        loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        updater = tf.keras.optimizers.SGD(1.0)
        ppl, speed = d2l.train_epoch_ch8(net, train_iter, loss, updater, False)
        state, metric = None, d2l.Accumulator(2)
        own = Model(len(vocab), 16, d2l.init_rnn_state, forward, d2l.get_params)
        for X, Y in train_iter:
            if state is None:
                state = own.begin_state(batch_size=X.shape[0], dtype=tf.float32)
            with tf.GradientTape() as g:
                y_hat, state = own(X, state)
                y = tf.reshape(tf.transpose(Y), (-1))
                l = loss(y, y_hat)
            params = own.trainable_variables
            grads = d2l.grad_clipping(g.gradient(l, params), 1)
            d2l.sgd(params, grads, 1, 1)
            metric.add(l * d2l.size(y), d2l.size(y))
        assert math.exp(metric[0] / metric[1]) < 29
        d2l.train_ch8(net, train_iter, vocab, 1, 1, strategy)
    """,
    "8.1 a sine": """
        import tensorflow as tf
        time = tf.range(1, 101, dtype=tf.float32)
        x = tf.sin(0.01 * time) + tf.random.normal([100], 0, 0.2)
        d2l.plot(time, [x], 'time', 'x', xlim=[1, 100], figsize=(6, 3))
        features = tf.stack([x[i:i + 96] for i in range(4)], axis=1)
        train_iter = d2l.load_array((features, tf.reshape(x[4:], (-1, 1))), 16, is_train=True)
        net = tf.keras.Sequential([tf.keras.layers.Dense(1)])
        assert d2l.evaluate_loss(net, train_iter, tf.keras.losses.MeanSquaredError()) > 0
        d2l.plot([time, time[4:]], [x.numpy(), net(features)[:, 0].numpy()], 'time', 'x', legend=['data', 'preds'])
    """,
    "9.6 and 9.7 from sentence to sentence": """
        import tensorflow as tf
        class Reader(d2l.Encoder):
            def __init__(self, vocab_size, num_hiddens, dropout=0, **kwargs):
                super().__init__(**kwargs)
                self.embedding = tf.keras.layers.Embedding(vocab_size, num_hiddens)
                self.rnn = tf.keras.layers.GRU(num_hiddens, dropout=dropout, return_sequences=True, return_state=True)
            def call(self, X, *args, **kwargs):
                return self.rnn(self.embedding(X), **kwargs)
        class Writer(d2l.Decoder):
            def __init__(self, vocab_size, num_hiddens, **kwargs):
                super().__init__(**kwargs)
                self.embedding = tf.keras.layers.Embedding(vocab_size, num_hiddens)
                self.rnn = tf.keras.layers.GRU(num_hiddens, return_sequences=True, return_state=True)
                self.dense = tf.keras.layers.Dense(vocab_size)
            def init_state(self, enc_outputs, *args):
                return enc_outputs[1]
            def call(self, X, state, **kwargs):
                X = self.embedding(X)
                context = tf.repeat(tf.expand_dims(state, axis=1), repeats=X.shape[1], axis=1)
                output, state = self.rnn(tf.concat((X, context), axis=2), initial_state=state, **kwargs)
                return self.dense(output), state
        tf.random.set_seed(0)
        train_iter, src_vocab, tgt_vocab = d2l.load_data_nmt(16, 8, 48)
        net = d2l.EncoderDecoder(Reader(len(src_vocab), 16), Writer(len(tgt_vocab), 16))
        optimizer = tf.keras.optimizers.Adam(learning_rate=0.02)
        losses = []
        for epoch in range(8):
            metric = d2l.Accumulator(2)
            for batch in train_iter:
                X, X_valid_len, Y, Y_valid_len = [x for x in batch]
                bos = tf.reshape(tf.constant([tgt_vocab['<bos>']] * Y.shape[0]), shape=(-1, 1))
                with tf.GradientTape() as tape:
                    Y_hat, _ = net(X, tf.concat([bos, Y[:, :-1]], 1), X_valid_len, training=True)
                    l = tf.nn.sparse_softmax_cross_entropy_with_logits(Y, Y_hat)
                    l = tf.reduce_sum(l * tf.sequence_mask(Y_valid_len, 8, dtype=tf.float32))
                gradients = d2l.grad_clipping(tape.gradient(l, net.trainable_variables), 1)
                optimizer.apply_gradients(zip(gradients, net.trainable_variables))
                metric.add(l, tf.reduce_sum(Y_valid_len).numpy())
            losses.append(metric[0] / metric[1])
        assert losses[-1] < 0.6 * losses[0], losses
        words = d2l.truncate_pad(src_vocab['go .'.split(' ')] + [src_vocab['<eos>']], 8, src_vocab['<pad>'])
        state = net.decoder.init_state(net.encoder(tf.expand_dims(words, axis=0), None, training=False), None)
        Y, state = net.decoder(tf.constant([[tgt_vocab['<bos>']]]), state, training=False)
        assert len(tgt_vocab.to_tokens(tf.argmax(Y, axis=2))) == 1
    """,
}

TENSORFLOW = {
    **TENSORFLOW_ANY_KERAS,
    "8.6 concise": """
        import tensorflow as tf
        train_iter, vocab = d2l.load_data_time_machine(32, 35)
        rnn_cell = tf.keras.layers.SimpleRNNCell(256, kernel_initializer='glorot_uniform')
        rnn_layer = tf.keras.layers.RNN(rnn_cell, return_sequences=True, return_state=True)
        strategy = tf.distribute.OneDeviceStrategy(d2l.try_gpu()._device_name)
        with strategy.scope():
            net = d2l.RNNModel(rnn_layer, vocab_size=len(vocab))
        d2l.predict_ch8('time traveller', 10, net, vocab)
        d2l.train_ch8(net, train_iter, vocab, 1, 1, strategy)
    """,
    "9 deep": """
        import tensorflow as tf
        train_iter, vocab = d2l.load_data_time_machine(4, 10, max_tokens=500)
        strategy = tf.distribute.OneDeviceStrategy('/CPU:0')
        with strategy.scope():
            cells = [tf.keras.layers.LSTMCell(16) for _ in range(2)]
            layer = tf.keras.layers.RNN(cells, return_sequences=True, return_state=True)
            net = d2l.RNNModel(layer, len(vocab))
            gru = d2l.RNNModel(tf.keras.layers.GRU(16, return_sequences=True, return_state=True), len(vocab))
        d2l.train_ch8(net, train_iter, vocab, 2, 1, strategy)
        d2l.train_ch8(gru, train_iter, vocab, 1, 1, strategy)
    """,
}

# They ask for time_major, which Keras 2 has (tf-keras), and Keras 3 takes once the package is imported
TENSORFLOW_AS_PUBLISHED = {
    **TENSORFLOW_ANY_KERAS,
    "8.6 concise": """
        import tensorflow as tf
        train_iter, vocab = d2l.load_data_time_machine(32, 35)
        rnn_cell = tf.keras.layers.SimpleRNNCell(256, kernel_initializer='glorot_uniform')
        rnn_layer = tf.keras.layers.RNN(rnn_cell, time_major=True, return_sequences=True, return_state=True)
        state = rnn_layer.cell.get_initial_state(batch_size=32, dtype=tf.float32)
        assert state.shape == (32, 256)
        Y, state_new = rnn_layer(tf.random.uniform((35, 32, len(vocab))), state)
        assert Y.shape == (35, 32, 256) and len(state_new) == 32 and state_new[0].shape == (256,)
        class Model(tf.keras.layers.Layer):
            def __init__(self, rnn_layer, vocab_size, **kwargs):
                super(Model, self).__init__(**kwargs)
                self.rnn, self.vocab_size = rnn_layer, vocab_size
                self.dense = tf.keras.layers.Dense(vocab_size)
            def call(self, inputs, state):
                X = tf.one_hot(tf.transpose(inputs), self.vocab_size)
                Y, *state = self.rnn(X, state)
                return self.dense(tf.reshape(Y, (-1, Y.shape[-1]))), state
            def begin_state(self, *args, **kwargs):
                return self.rnn.cell.get_initial_state(*args, **kwargs)
        strategy = tf.distribute.OneDeviceStrategy(d2l.try_gpu()._device_name)
        for model in (Model, d2l.RNNModel):
            with strategy.scope():
                net = model(rnn_layer, vocab_size=len(vocab))
            d2l.predict_ch8('time traveller', 10, net, vocab)
            d2l.train_ch8(net, train_iter, vocab, 1, 1, strategy)
    """,
    "9 gated and deep": """
        import tensorflow as tf
        train_iter, vocab = d2l.load_data_time_machine(4, 10, max_tokens=500)
        strategy = tf.distribute.OneDeviceStrategy(d2l.try_gpu()._device_name)
        with strategy.scope():
            gru = tf.keras.layers.RNN(tf.keras.layers.GRUCell(16, kernel_initializer='glorot_uniform'),
                                      time_major=True, return_sequences=True, return_state=True)
            cells = [tf.keras.layers.LSTMCell(16) for _ in range(2)]
            lstm = tf.keras.layers.RNN(tf.keras.layers.StackedRNNCells(cells), time_major=True,
                                       return_sequences=True, return_state=True)
            nets = [d2l.RNNModel(gru, vocab_size=len(vocab)), d2l.RNNModel(lstm, len(vocab))]
        for net in nets:
            d2l.train_ch8(net, train_iter, vocab, 1, 1, strategy)
    """,
}


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """The user's folder has The Time Machine, and the sentence pairs that ship in the place of the book's."""
    shutil.copy(Path(os.environ[downloads.DATA_ENV]) / "timemachine.txt", tmp_path)
    (tmp_path / "fra-eng").mkdir()
    pairs = resources.files("d2lrnn.data") / "bundled" / "pairs.txt"
    (tmp_path / "fra-eng" / "fra.txt").write_bytes(pairs.read_bytes())
    monkeypatch.setenv(downloads.DATA_ENV, str(tmp_path))
    monkeypatch.setitem(DATA_HUB, "fra-eng", DATA_HUB["fra-eng"])  # a cell sets it


def dedent(cell):
    return "\n".join(line[8:] for line in cell.strip("\n").splitlines())


@pytest.mark.parametrize("title", SHARED)
def test_shared_cell(backend, title):
    exec(dedent(SHARED[title]), {"d2l": backend.d2l})


@pytest.mark.only("torch")
@pytest.mark.parametrize("title", TORCH)
def test_torch_cell(backend, title):
    exec(dedent(TORCH[title]), {"d2l": backend.d2l})


@pytest.mark.only("mxnet")
@pytest.mark.filterwarnings("ignore:ndarray.as_in_context has been renamed:DeprecationWarning")  # the book's word
@pytest.mark.parametrize("title", MXNET)
def test_mxnet_cell(backend, title):
    exec(dedent(MXNET[title]), {"d2l": backend.d2l})


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("title", TENSORFLOW)
def test_tensorflow_cell(backend, title):
    exec(dedent(TENSORFLOW[title]), {"d2l": backend.d2l})


KERAS_2 = """
import json, sys, traceback
from d2lrnn import tensorflow as d2l
failed = {}
for title, cell in json.loads(sys.argv[1]).items():
    try:
        exec(cell, {"d2l": d2l})
    except Exception:
        failed[title] = traceback.format_exc()
print(json.dumps(failed))
"""


@cache
def failed_on_keras_2():
    """Return the tracebacks of the cells that failed, by title.

    Which Keras it is settles at TensorFlow's import, so they have a process of their own.
    """
    cells = json.dumps({title: dedent(cell) for title, cell in TENSORFLOW_AS_PUBLISHED.items()})
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    command = [sys.executable, "-c", KERAS_2, cells]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("title", [title for title in TENSORFLOW_AS_PUBLISHED if title not in TENSORFLOW_ANY_KERAS])
def test_cell_as_published_on_keras_3(backend, title):
    exec(dedent(TENSORFLOW_AS_PUBLISHED[title]), {"d2l": backend.d2l})


@pytest.mark.only("tensorflow")
@pytest.mark.parametrize("title", TENSORFLOW_AS_PUBLISHED)
def test_cell_as_published_on_keras_2(backend, title):
    failed = failed_on_keras_2()
    assert title not in failed, failed[title]
